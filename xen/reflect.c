/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hvm/reflect.c: reflection of I/O into firmware in the same domain.
 *
 * Interface and rules: public/hvm/reflect.h.  An access that no handler of Xen's own takes and that
 * lies in a registered range marks the vCPU (reflect_io()).  The exit handler finishes as it does for
 * an ioreq server, and on the way back into the domain (reflect_assist()) the vCPU's contexts are
 * swapped.  RETURN marks it again, and the guest's instruction is completed as for an ioreq server.
 * The marks (ENTER, LEAVE) are acted upon before softirqs, so nobody else ever sees them.
 */

#include <xen/event.h>
#include <xen/guest_access.h>
#include <xen/ioreq.h>
#include <xen/nospec.h>

#include <asm/hvm/emulate.h>
#include <asm/hvm/irq.h>
#include <asm/hvm/save.h>
#include <asm/hvm/vmx/vmx.h>
#include <asm/hvm/nestedhvm.h>
#include <asm/paging.h>

struct context {
    struct cpu_user_regs regs;
    struct segment_register seg[x86_seg_idtr + 1];
    unsigned long cr[5], efer;
    unsigned long event[3]; /* to be injected at the next entry: as VMX has it, or SVM's EVENTINJ */
    unsigned int shadow;
};

struct reflect_vcpu {
    enum { GUEST, ENTER, FIRMWARE, LEAVE } state; /* whose context is loaded, or a mark */
    uint64_t events;
    uint32_t vector;          /* for the guest to take, or SIO_XEN_NO_VECTOR */
    unsigned long halted_rip; /* behind the last HLT, no interrupt since */
    struct timer timer, posted_timer;

    struct context other;
    /* The guest's unfinished instruction, while the firmware runs. */
    struct vcpu_io io;
    struct hvm_vcpu_io hvio;

    struct sio_xen_slot_shared *slot;
    struct page_info *slot_page;
};

struct range {
    uint64_t base, last;
    uint32_t arg, dirties;
};

struct reflect_domain {
    struct hvm_reflect s; /* as it was registered: what is saved */
    s_time_t start;
    rwlock_t lock;        /* range[], channel[] */
    unsigned int nr_ranges;
    struct range range[SIO_XEN_MAX_RANGES];
    spinlock_t posted_lock;
    uint32_t prod;        /* the domain can write shared->prod */
    uint64_t stale;       /* words of shadow[], as long as something is posted */
    struct sio_xen_shared *shared;
    struct page_info *shared_page;
    evtchn_port_t channel[SIO_XEN_MAX_CHANNELS]; /* 0: not in use */
    struct reflect_vcpu vcpu[];
};

/* Of a range's arg: see SIO_XEN_MAP_ARG(). */
#define SPACE(arg)  ((arg) & 0xf)
#define KIND(arg)   (((arg) >> 4) & 0xf)
#define OWN(arg)    (((arg) >> 8) & 0x3f)
#define AT(arg)     ((arg) >> 16)
#define NOT_IF(arg) (AT(arg) & 0xff)
#define CARE(arg)   (AT(arg) >> 8)

#define EVENT_BIT(e) (flsl(SIO_XEN_EVENT_##e) - 1)
#define reflect_of(d) ((d)->arch.hvm.reflect)

/* A mistake of the current domain: one line, and the end of it. */
#define fault(fmt, args...) ({ \
    gprintk(XENLOG_ERR, "reflection: " fmt "\n", ## args); \
    __domain_crash(current->domain); \
    false; })

bool reflect_active(const struct vcpu *v)
{
    return v->arch.hvm.reflect && v->arch.hvm.reflect->state;
}

/* An event that is due keeps the guest from blocking. */
bool reflect_event_pending(const struct vcpu *v)
{
    const struct reflect_vcpu *r = v->arch.hvm.reflect;

    return r && !r->state && r->events;
}

static void notify(struct vcpu *v, unsigned int bit)
{
    set_bit(bit, &v->arch.hvm.reflect->events);
    vcpu_kick(v);
}

static void cf_check timer_fn(void *data)
{
    notify(data, EVENT_BIT(TIMER));
}

/* Most have been carried out before some request by now. */
static void cf_check posted_fn(void *data)
{
    struct reflect_domain *rd = reflect_of(((const struct vcpu *)data)->domain);

    spin_barrier(&rd->posted_lock); /* who adds one sees that the timer has fired, or is seen */
    if ( rd->prod != ACCESS_ONCE(rd->shared->cons) )
        timer_fn(data);
}

static void cf_check channel_fn(struct vcpu *v, unsigned int port)
{
    const struct reflect_domain *rd = reflect_of(v->domain);
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(rd->channel); i++ )
        if ( rd->channel[i] == port )
            notify(v, i);
}

/* --- ranges and requests --- */

/* Of those of one kind: POSTED, SHADOW or 0.  The lock is held. */
static struct range *find_range(struct reflect_domain *rd, unsigned int space, unsigned int kind,
                                uint64_t first, uint64_t last)
{
    struct range *r;

    for ( r = rd->range; r < rd->range + rd->nr_ranges; r++ )
        if ( SPACE(r->arg) == space && KIND(r->arg) == kind && r->base <= last && first <= r->last )
            return r;

    return NULL;
}

static bool map_range(struct reflect_domain *rd, const struct range *n, bool map)
{
    unsigned int space = SPACE(n->arg), kind = KIND(n->arg), at = AT(n->arg);
    struct range *r;
    bool ok = n->base <= n->last && space <= 1 && (space || n->last <= 0xffff) &&
              kind <= SIO_XEN_SHADOW &&
              (kind != SIO_XEN_SHADOW ||
               (at < sizeof(rd->shared->shadow) && n->last - n->base < 7 - at % 8));

    write_lock(&rd->lock);
    r = find_range(rd, space, kind, n->base, n->last);
    ok = ok && (map ? !r && rd->nr_ranges < ARRAY_SIZE(rd->range)
                    : r && r->base == n->base && r->last == n->last);
    if ( ok && map )
        rd->range[rd->nr_ranges++] = *n;
    else if ( ok )
        *r = rd->range[--rd->nr_ranges];
    write_unlock(&rd->lock);

    return ok;
}

/* The word's last byte is not data: bit 63 says that the others are. */
static bool shadow(const struct reflect_domain *rd, const struct range *r, ioreq_t *p)
{
    unsigned int at = AT(r->arg) + p->addr - r->base;
    uint64_t stale = 0, word;

    if ( ACCESS_ONCE(rd->prod) != ACCESS_ONCE(rd->shared->cons) )
        stale = ACCESS_ONCE(rd->stale);
    smp_rmb(); /* the firmware moves cons when shadows are what they are to be */
    word = ACCESS_ONCE(rd->shared->shadow[at / 8]);
    p->data = word >> at % 8 * 8;
    return (word >> 63) && !((stale >> at / 8) & 1);
}

static bool post(struct vcpu *v, const struct range *n, const ioreq_t *p)
{
    struct reflect_vcpu *r = v->arch.hvm.reflect;
    struct reflect_domain *rd = reflect_of(v->domain);
    const struct range *s = find_range(rd, SPACE(n->arg), SIO_XEN_SHADOW, p->addr, p->addr);
    uint64_t own = ACCESS_ONCE(rd->shared->shadow[OWN(n->arg)]);
    uint32_t used;

    if ( p->data & NOT_IF(n->arg) )
        return false;

    spin_lock(&rd->posted_lock);
    used = rd->prod - ACCESS_ONCE(rd->shared->cons);
    if ( used < SIO_XEN_MAX_POSTED )
    {
        rd->stale = (used ? rd->stale : 0) | (s ? 1ull << AT(s->arg) / 8 : 0);
        if ( !(own >> 63) || ((p->data ^ own) & CARE(n->arg)) )
            rd->stale |= n->dirties;
        rd->shared->posted[rd->prod % SIO_XEN_MAX_POSTED] = (struct sio_xen_posted){
            p->addr, p->data, p->type == IOREQ_TYPE_COPY, p->size };
        smp_wmb(); /* the firmware reads prod, then the entry */
        ACCESS_ONCE(rd->shared->prod) = ++rd->prod;
        if ( !timer_is_active(&r->posted_timer) )
            set_timer(&r->posted_timer, NOW() + SIO_XEN_POSTED_NS);
    }
    spin_unlock(&rd->posted_lock);

    return used < SIO_XEN_MAX_POSTED;
}

static void write_request(struct vcpu *v, const ioreq_t *p, unsigned int kind)
{
    struct reflect_vcpu *r = v->arch.hvm.reflect;

    r->slot->req = (struct sio_xen_request){
        .kind = kind, .write = p->dir == IOREQ_WRITE, .size = p->size, .count = p->count,
        .flags = (p->data_is_ptr ? SIO_XEN_REQ_PTR : 0) | (p->df ? SIO_XEN_REQ_DOWN : 0),
        .addr = p->addr, .data = p->data,
        .now_ns = NOW() - reflect_of(v->domain)->start,
        .events = xchg(&r->events, 0),
    };
    r->state = ENTER;
}

/*
 * X86EMUL_OKAY: done, the value of a read is in p->data, or there is nothing to wait for.
 * X86EMUL_RETRY: complete it when the answer is there.  X86EMUL_UNHANDLEABLE: none of ours.
 */
int reflect_io(ioreq_t *p)
{
    struct vcpu *v = current;
    struct vcpu_io *vio = &v->io;
    struct reflect_vcpu *r = v->arch.hvm.reflect;
    struct reflect_domain *rd = reflect_of(v->domain);
    const struct range *hit;
    unsigned int space = p->type == IOREQ_TYPE_COPY;
    unsigned int fast = p->dir == IOREQ_WRITE ? SIO_XEN_POSTED : SIO_XEN_SHADOW;
    bool done;

    if ( likely(!r) )
        return X86EMUL_UNHANDLEABLE;

    read_lock(&rd->lock);
    hit = find_range(rd, space, fast, p->addr, p->addr);
    done = hit && !r->state && p->count == 1 && !p->data_is_ptr &&
           p->addr + p->size - 1 <= hit->last &&
           (fast == SIO_XEN_POSTED ? post(v, hit, p) : shadow(rd, hit, p));
    if ( !done )
        hit = find_range(rd, space, 0, p->addr, p->addr);
    read_unlock(&rd->lock);

    if ( !hit )
        return X86EMUL_UNHANDLEABLE;
    if ( r->state )
        return fault("the firmware touched %s %#lx", space ? "memory" : "port", p->addr) ?:
               X86EMUL_UNHANDLEABLE;

    vio->req.state = STATE_IOREQ_NONE;
    if ( done )
        return X86EMUL_OKAY;

    /* As for an ioreq server: nothing begins while the domain is suspended. */
    vio->suspended = !vcpu_start_shutdown_deferral(v);
    if ( unlikely(vio->suspended) )
        return X86EMUL_RETRY;

    vio->req.state = STATE_IOREQ_READY;
    write_request(v, p, space ? SIO_XEN_REQ_MMIO : SIO_XEN_REQ_PIO);
    return ioreq_needs_completion(&vio->req) ? X86EMUL_RETRY : X86EMUL_OKAY;
}

/* --- the switch --- */

static void swap_context(struct vcpu *v, struct context *c)
{
    static const unsigned int event[] = {
        VM_ENTRY_INTR_INFO, VM_ENTRY_EXCEPTION_ERROR_CODE, VM_ENTRY_INSTRUCTION_LEN };
    struct vmcb_struct *vmcb = v->arch.hvm.svm.vmcb;
    struct context old = {
        .regs = *guest_cpu_user_regs(),
        .efer = v->arch.hvm.guest_efer,
        .shadow = alternative_call(hvm_funcs.get_interrupt_shadow, v),
    };
    unsigned int i;

    memcpy(old.cr, v->arch.hvm.guest_cr, sizeof(old.cr));
    for ( i = 0; i < ARRAY_SIZE(old.seg); i++ )
        hvm_get_segment_register(v, i, &old.seg[i]);

    for ( i = 0; cpu_has_vmx && i < ARRAY_SIZE(event); i++ )
    {
        __vmread(event[i], &old.event[i]);
        __vmwrite(event[i], c->event[i]);
    }
    if ( cpu_has_svm )
    {
        old.event[0] = vmcb->event_inj.raw;
        vmcb->event_inj.raw = c->event[0];
        old.cr[2] = vmcb_get_cr2(vmcb); /* guest_cr[2] is not kept up to date */
    }

    *guest_cpu_user_regs() = c->regs;
    memcpy(v->arch.hvm.guest_cr, c->cr, sizeof(c->cr));
    v->arch.hvm.guest_efer = c->efer;
    hvm_update_guest_cr(v, 0);
    hvm_update_guest_cr(v, 2);
    hvm_update_guest_cr(v, 4);
    hvm_update_guest_efer(v);
    paging_update_paging_modes(v); /* CR3 too; flushes */
    for ( i = 0; i < ARRAY_SIZE(c->seg); i++ )
        hvm_set_segment_register(v, i, &c->seg[i]);
    alternative_vcall(hvm_funcs.set_interrupt_shadow, v, c->shadow);

    *c = old;
}

static void leave(struct vcpu *v, struct reflect_vcpu *r)
{
    bool forward = xchg(&r->slot->flags, 0) & SIO_XEN_FORWARD;
    enum vio_completion completion = r->io.completion;
    struct ioreq_server *s;
    struct vcpu *w;

    hvmemul_cancel(v);
    swap_context(v, &r->other);
    v->io = r->io;
    v->arch.hvm.hvm_io = r->hvio;
    r->state = GUEST;

    /* INIT and SIPI that found us in the firmware are tried again. */
    for_each_vcpu ( v->domain, w )
        if ( vcpu_vlapic(w)->init_sipi.icr )
            tasklet_schedule(&vcpu_vlapic(w)->init_sipi.tasklet);

    if ( v->io.req.state != STATE_IOREQ_READY ) /* it was an event */
    {
        vcpu_end_shutdown_deferral(v);
        if ( guest_cpu_user_regs()->rip == r->halted_rip )
            vcpu_block();
        return;
    }

    /* What an instruction to be emulated again has read so far is read again. */
    if ( completion == VIO_mmio_completion || completion == VIO_realmode_completion )
        hvmemul_cache_restore(v, 0);

    if ( forward && (s = ioreq_server_select(v->domain, &r->io.req)) != NULL &&
         ioreq_send(s, &r->io.req, false) == X86EMUL_RETRY )
        return; /* hvm_do_resume() completes it */

    v->io.req.data = forward ? ~0ul : ACCESS_ONCE(r->slot->answer);
    vcpu_ioreq_handle_completion(v);
}

/*
 * Before the vCPU is entered: carry out the marks, deliver events.  True: the firmware is about to
 * run, nothing is to be injected.
 */
bool reflect_assist(struct vcpu *v)
{
    struct reflect_vcpu *r = v->arch.hvm.reflect;

    if ( r->state == LEAVE )
        leave(v, r); /* an instruction can do several accesses: may end in ENTER */

    if ( r->state == GUEST && r->events &&
         v->io.req.state == STATE_IOREQ_NONE && vcpu_start_shutdown_deferral(v) )
        write_request(v, &(ioreq_t){ .dir = IOREQ_READ }, SIO_XEN_REQ_EVENT);

    if ( r->state == ENTER )
    {
        r->io = v->io;
        r->hvio = v->arch.hvm.hvm_io;
        hvmemul_cancel(v);
        swap_context(v, &r->other);
        r->state = FIRMWARE;
    }

    return r->state != GUEST;
}

/* --- interrupts --- */

int reflect_vector(const struct vcpu *v)
{
    return v->arch.hvm.reflect ? (int)v->arch.hvm.reflect->vector : -1;
}

void reflect_ack(struct vcpu *v, int vector)
{
    struct reflect_vcpu *r = v->arch.hvm.reflect;

    if ( r )
        r->halted_rip = ~0ul;
    if ( r && vector >= 0 && cmpxchg(&r->vector, vector, SIO_XEN_NO_VECTOR) == vector )
    {
        r->slot->taken = vector;
        set_bit(EVENT_BIT(TAKEN), &r->events);
    }
}

void reflect_halt(struct vcpu *v)
{
    if ( v->arch.hvm.reflect && !v->arch.hvm.reflect->state )
        v->arch.hvm.reflect->halted_rip = guest_cpu_user_regs()->rip;
}

/* A local APIC's EOI for a level-triggered vector, where Xen has no IOAPIC to tell. */
bool reflect_eoi(struct vcpu *v, uint8_t vector)
{
    struct reflect_vcpu *r = v->arch.hvm.reflect;

    if ( !r || has_vioapic(v->domain) )
        return false;

    r->slot->eoi = vector;
    set_bit(EVENT_BIT(EOI), &r->events);
    return true;
}

bool reflect_hides_xen(const struct vcpu *v)
{
    return v->arch.hvm.reflect && !v->arch.hvm.reflect->state &&
           (reflect_of(v->domain)->s.flags &
            (hvm_paging_enabled(v) ? SIO_XEN_HIDE : SIO_XEN_HIDE | SIO_XEN_HIDE_UNPAGED));
}

/* --- hypercalls --- */

static bool do_op(struct vcpu *v, const struct sio_xen_op *op, uint64_t *out)
{
    struct domain *d = v->domain;
    struct vcpu *w;
    struct reflect_vcpu *r = v->arch.hvm.reflect;
    struct reflect_domain *rd = reflect_of(d);
    struct range range = { op->a, op->a + (uint32_t)op->b - 1, op->arg, op->b >> 32 };
    unsigned int n = array_index_nospec(op->arg, SIO_XEN_MAX_CHANNELS);
    int port;

    switch ( op->code )
    {
    case SIO_XEN_OP_IRQ:
        if ( !has_vioapic(d) || op->arg >= hvm_domain_irq(d)->nr_gsis )
            return false;
        if ( op->arg >= NR_ISAIRQS )
            (op->a ? hvm_gsi_assert : hvm_gsi_deassert)(d, op->arg);
        else
            op->a ? (void)hvm_isa_irq_assert(d, op->arg, NULL) : hvm_isa_irq_deassert(d, op->arg);
        return true;

    case SIO_XEN_OP_MSI:
        return !hvm_inject_msi(d, op->a, op->arg);

    case SIO_XEN_OP_MAP:
    case SIO_XEN_OP_UNMAP:
        return map_range(rd, &range, op->code == SIO_XEN_OP_MAP);

    case SIO_XEN_OP_TIMER:
        op->a ? set_timer(&r->timer, rd->start + min_t(uint64_t, op->a, STIME_MAX / 2))
              : stop_timer(&r->timer);
        return true;

    case SIO_XEN_OP_VECTOR:
        w = op->a < d->max_vcpus ? domain_vcpu(d, op->a) : NULL;
        if ( !w || (op->arg > 0xff && op->arg != SIO_XEN_NO_VECTOR) )
            return false;
        ACCESS_ONCE(w->arch.hvm.reflect->vector) = op->arg;
        vcpu_kick(w);
        return true;

    case SIO_XEN_OP_CHANNEL ... SIO_XEN_OP_NOTIFY:
        if ( op->arg != n )
            return false;
        /* Exclusive: a port that has been closed can be one of the guest's own. */
        write_lock(&rd->lock);
        port = rd->channel[n];
        if ( op->code == SIO_XEN_OP_CHANNEL )
        {
            port = port || op->a != (domid_t)op->a ? 0 :
                   alloc_unbound_xen_event_channel(d, v->vcpu_id, op->a, channel_fn);
            if ( port > 0 )
                *out = rd->channel[n] = port;
        }
        else if ( port && op->code == SIO_XEN_OP_NOTIFY )
            notify_via_xen_event_channel(d, port);
        else if ( port )
        {
            rd->channel[n] = 0;
            free_xen_event_channel(d, port);
        }
        write_unlock(&rd->lock);
        return port > 0;

    case SIO_XEN_OP_WAKE:
        w = domain_vcpu(d, op->arg);
        if ( w )
            notify(w, EVENT_BIT(WAKE));
        return w;
    }

    return false;
}

static bool do_ops(struct vcpu *v)
{
    struct sio_xen_slot_shared *slot = v->arch.hvm.reflect->slot;
    unsigned int i, n = ACCESS_ONCE(slot->n_ops);

    if ( n > SIO_XEN_MAX_OPS )
        return fault("%u operations", n);

    for ( i = 0; i < n; i++ )
    {
        struct sio_xen_op op = slot->ops[i];

        barrier(); /* one copy: it is checked and used */
        if ( !do_op(v, &op, &slot->ops[i].b) )
            return fault("bad operation %u (%#x, %#lx, %#lx)", op.code, op.arg, op.a, op.b);
    }
    slot->n_ops = 0;

    return true;
}

static int setup(struct domain *d, const struct hvm_reflect *s)
{
    struct reflect_domain *rd;
    struct vcpu *v;

    if ( s->version != SIO_XEN_VERSION || (s->slots | s->shared) & ~PAGE_MASK )
        return -EINVAL;
    if ( !paging_mode_hap(d) || nestedhvm_enabled(d) )
        return -EOPNOTSUPP;

    rd = xzalloc_flex_struct(struct reflect_domain, vcpu, d->max_vcpus);
    if ( !rd )
        return -ENOMEM;
    rd->s = *s;
    rd->start = NOW() - s->now_ns;
    rwlock_init(&rd->lock);
    spin_lock_init(&rd->posted_lock);
    if ( cmpxchgptr(&reflect_of(d), NULL, rd) )
    {
        xfree(rd);
        return -EEXIST;
    }

    /* From here on it is released with the domain, whatever fails. */
    if ( prepare_ring_for_helper(d, PFN_DOWN(s->shared), &rd->shared_page,
                                 (void **)&rd->shared) )
        return -EINVAL;
    rd->prod = rd->shared->prod;

    for_each_vcpu ( d, v )
    {
        struct reflect_vcpu *r = &rd->vcpu[v->vcpu_id];

        if ( prepare_ring_for_helper(d, PFN_DOWN(s->slots) + v->vcpu_id, &r->slot_page,
                                     (void **)&r->slot) )
            return -EINVAL;
        init_timer(&r->timer, timer_fn, v, v->processor);
        init_timer(&r->posted_timer, posted_fn, v, v->processor);
        r->vector = SIO_XEN_NO_VECTOR;
        r->halted_rip = ~0ul;
        r->other = (struct context){
            .regs = { .rip = s->entry, .rflags = X86_EFLAGS_MBS, .rax = SIO_XEN_ENTRY_MAGIC,
                      .rbx = s->slots + v->vcpu_id * PAGE_SIZE, .rcx = v->vcpu_id,
                      .rdx = s->shared },
            .seg = { [x86_seg_es] = { .attr = 0xc93, .limit = ~0u },
                     [x86_seg_cs] = { .attr = 0xc9b, .limit = ~0u },
                     [x86_seg_ss ... x86_seg_gs] = { .attr = 0xc93, .limit = ~0u },
                     [x86_seg_tr] = { .attr = 0x8b, .limit = 0xffff } },
            .cr = { X86_CR0_PE | X86_CR0_ET },
        };
    }

    smp_wmb(); /* whoever sees a vCPU's part sees all of it */
    for_each_vcpu ( d, v )
        v->arch.hvm.reflect = &rd->vcpu[v->vcpu_id];

    return 0;
}

long reflect_op(unsigned long op, XEN_GUEST_HANDLE_PARAM(void) arg)
{
    struct vcpu *v = current;
    struct reflect_vcpu *r = v->arch.hvm.reflect;
    struct sio_xen_setup s;
    int rc;

    switch ( op )
    {
    case HVMOP_reflect_setup:
        if ( copy_from_guest(&s, arg, 1) )
            return -EFAULT;
        rc = setup(v->domain,
                   &(struct hvm_reflect){ s.version, s.entry, s.slots, s.shared, .flags = s.flags });
        if ( rc == -EINVAL )
            fault("setup with entry %#x, slots %#lx, shared page %#lx",
                  s.entry, s.slots, s.shared);
        return rc;

    case HVMOP_reflect_return:
        if ( !r || r->state != FIRMWARE )
            fault("return without entry");
        else if ( do_ops(v) )
            r->state = LEAVE;
        return 0;

    default:
        return r ? (do_ops(v), 0) : -ENODEV;
    }
}

/* Pages and timers go when the domain dies; the rest with it, when no event can come any more. */
void reflect_relinquish(struct domain *d)
{
    struct reflect_domain *rd = reflect_of(d);
    struct reflect_vcpu *r;
    unsigned int i;

    if ( !rd )
        return;

    for ( i = 0, r = rd->vcpu; i < d->max_vcpus; i++, r++ )
        if ( r->slot )
        {
            kill_timer(&r->timer);
            kill_timer(&r->posted_timer);
            destroy_ring_for_helper((void **)&r->slot, r->slot_page);
        }
    destroy_ring_for_helper((void **)&rd->shared, rd->shared_page);
}

/* --- save and restore --- */

static int cf_check reflect_save(struct vcpu *v, hvm_domain_context_t *h)
{
    const struct reflect_vcpu *r = v->arch.hvm.reflect;
    const struct reflect_domain *rd = reflect_of(v->domain);
    struct hvm_reflect s;

    if ( !r )
        return 0;
    if ( r->state ) /* not while suspended: see vcpu_start_shutdown_deferral() */
        return -EBUSY;

    s = rd->s;
    s.now_ns = NOW() - rd->start;
    s.events = r->events;

    return hvm_save_entry(REFLECT, v->vcpu_id, h, &s);
}

static int cf_check reflect_load(struct domain *d, hvm_domain_context_t *h)
{
    struct vcpu *v = domain_vcpu(d, hvm_load_instance(h));
    struct reflect_vcpu *r;
    struct hvm_reflect s;
    int rc;

    if ( !v || hvm_load_entry(REFLECT, h, &s) )
        return -EINVAL;

    rc = reflect_of(d) ? 0 : setup(d, &s); /* the first vCPU's record brings the domain's part */
    r = v->arch.hvm.reflect;
    if ( rc || !r )
        return rc ?: -EINVAL;
    r->events = s.events | SIO_XEN_EVENT_RESTORED;

    return 0;
}

HVM_REGISTER_SAVE_RESTORE(REFLECT, reflect_save, reflect_load, 1, HVMSR_PER_VCPU);
