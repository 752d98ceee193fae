/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hvm/reflect.c: reflection of I/O into firmware in the same domain.
 *
 * Interface and rules: public/hvm/reflect.h.  An access that no handler of Xen's own takes and that
 * lies in a registered range marks the vCPU (reflect_io()).  The exit handler finishes as it does for
 * an ioreq server, and on the way back into the domain (reflect_assist()) the vCPU's contexts are
 * swapped.  RETURN marks it again, and the guest's instruction is completed as for an ioreq server.
 * The marks are acted upon before softirqs, so nobody else ever sees them.
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
    unsigned long event, error, insn_len; /* to be injected at the next entry */
    unsigned int shadow;
};

struct reflect_vcpu {
    bool active;         /* the firmware's context is loaded */
    bool enter, leave;   /* marks: to be done before the next entry */
    struct hvm_reflect_vcpu s; /* vector: for the guest to take, or SIO_XEN_NO_VECTOR */
    unsigned long halted_rip;  /* behind the last HLT, no interrupt since */
    struct timer timer, posted_timer;

    struct context other;
    /* The guest's unfinished instruction, while active. */
    ioreq_t req;
    enum vio_completion completion;
    struct hvm_vcpu_io hvio;

    struct sio_xen_slot_shared *slot;
    struct page_info *slot_page;
};

struct reflect_domain {
    struct hvm_reflect s; /* what the domain has registered, in the form in which it is saved */
    s_time_t start;
    rwlock_t lock;        /* s.range[], channel[] */
    spinlock_t posted_lock;
    uint32_t prod;        /* the domain can write shared->prod */
    struct sio_xen_shared *shared;
    struct page_info *shared_page;
    evtchn_port_t channel[SIO_XEN_MAX_CHANNELS]; /* 0: not in use */
    struct reflect_vcpu vcpu[];
};

/* Of a range's arg: see SIO_XEN_MAP_ARG(). */
#define SPACE(arg) ((arg) & 0xf)
#define KIND(arg)  (((arg) >> 4) & 0xfff)
#define WAY(arg)   (KIND(arg) & (SIO_XEN_POSTED | SIO_XEN_SHADOW))
#define AT(arg)    ((arg) >> 16)

#define EVENT_BIT(e) (flsl(SIO_XEN_EVENT_##e) - 1)
#define reflect_of(d) ((d)->arch.hvm.reflect)

/* A mistake of the current domain: one line, and the end of it. */
#define fault(fmt, args...) ({ \
    gprintk(XENLOG_ERR, "reflection: " fmt "\n", ## args); \
    __domain_crash(current->domain); \
    false; })

bool reflect_active(const struct vcpu *v)
{
    return v->arch.hvm.reflect && v->arch.hvm.reflect->active;
}

bool reflect_pending(const struct vcpu *v)
{
    return v->arch.hvm.reflect && v->arch.hvm.reflect->enter;
}

/* An event that is due keeps the guest from blocking. */
bool reflect_event_pending(const struct vcpu *v)
{
    const struct reflect_vcpu *r = v->arch.hvm.reflect;

    return r && !r->active && r->s.events;
}

static void notify(struct vcpu *v, unsigned int bit)
{
    set_bit(bit, &v->arch.hvm.reflect->s.events);
    vcpu_kick(v);
}

static void cf_check timer_fn(void *data)
{
    notify(data, EVENT_BIT(TIMER));
}

/* Most have been carried out before some request by now. */
static void cf_check posted_fn(void *data)
{
    const struct vcpu *v = data;
    struct reflect_domain *rd = reflect_of(v->domain);
    bool waits;

    spin_lock(&rd->posted_lock); /* so that who adds one sees that the timer has fired, or is seen */
    waits = rd->prod != ACCESS_ONCE(rd->shared->cons);
    spin_unlock(&rd->posted_lock);

    if ( waits )
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

/* Of those that are POSTED, that are SHADOW, or that are neither (way: 0).  The lock is held. */
static struct hvm_reflect_range *find_range(struct reflect_domain *rd, unsigned int space,
                                            unsigned int way, uint64_t first, uint64_t last)
{
    unsigned int i;

    for ( i = 0; i < rd->s.nr_ranges; i++ )
        if ( SPACE(rd->s.range[i].arg) == space && WAY(rd->s.range[i].arg) == way &&
             rd->s.range[i].base <= last && first <= rd->s.range[i].last )
            return &rd->s.range[i];

    return NULL;
}

static bool map_range(struct reflect_domain *rd, const struct hvm_reflect_range *n, bool map)
{
    uint64_t len = n->last - n->base, limit = sizeof(rd->shared->shadow);
    struct hvm_reflect_range *r;
    bool ok = n->base <= n->last && SPACE(n->arg) <= 1 &&
              !(KIND(n->arg) & ~(SIO_XEN_POSTED | SIO_XEN_SHADOW | SIO_XEN_GUARDED)) &&
              WAY(n->arg) != (SIO_XEN_POSTED | SIO_XEN_SHADOW) &&
              (SPACE(n->arg) || n->last <= 0xffff) &&
              (!(KIND(n->arg) & SIO_XEN_SHADOW) || (len < limit && AT(n->arg) + len < limit)) &&
              (!(KIND(n->arg) & SIO_XEN_GUARDED) || AT(n->arg) % 8 + len < 8);

    write_lock(&rd->lock);
    r = find_range(rd, SPACE(n->arg), WAY(n->arg), n->base, n->last);
    ok = ok && (map ? !r && rd->s.nr_ranges < ARRAY_SIZE(rd->s.range)
                    : r && r->base == n->base && r->last == n->last);
    if ( ok && map )
        rd->s.range[rd->s.nr_ranges++] = *n;
    else if ( ok )
        *r = rd->s.range[--rd->s.nr_ranges];
    write_unlock(&rd->lock);

    return ok;
}

static bool shadow(const struct reflect_domain *rd, const struct hvm_reflect_range *r, ioreq_t *p)
{
    const uint8_t *s = rd->shared->shadow;
    unsigned int at = AT(r->arg) + p->addr - r->base;
    uint64_t word;

    if ( !(KIND(r->arg) & SIO_XEN_GUARDED) )
    {
        memcpy(&p->data, s + at, p->size);
        return true;
    }

    if ( ACCESS_ONCE(rd->prod) != ACCESS_ONCE(rd->shared->cons) )
        return false;
    smp_rmb(); /* the firmware moves cons when shadows are what they are to be */
    word = ACCESS_ONCE(*(const uint64_t *)(s + (at & ~7u)));
    if ( !(word >> 63) )
        return false;
    word >>= at % 8 * 8;
    memcpy(&p->data, &word, p->size);
    return true;
}

static bool post(struct vcpu *v, unsigned int not_if, const ioreq_t *p)
{
    struct reflect_vcpu *r = v->arch.hvm.reflect;
    struct reflect_domain *rd = reflect_of(v->domain);
    bool room;

    if ( p->data & not_if & 0xff )
        return false;

    spin_lock(&rd->posted_lock);
    room = rd->prod - ACCESS_ONCE(rd->shared->cons) < SIO_XEN_MAX_POSTED;
    if ( room )
    {
        rd->shared->posted[rd->prod % SIO_XEN_MAX_POSTED] = (struct sio_xen_posted){
            p->addr, p->data, p->type == IOREQ_TYPE_COPY, p->size };
        smp_wmb(); /* the firmware reads prod, then the entry */
        ACCESS_ONCE(rd->shared->prod) = ++rd->prod;
        if ( !timer_is_active(&r->posted_timer) )
            set_timer(&r->posted_timer, NOW() + SIO_XEN_POSTED_NS);
    }
    spin_unlock(&rd->posted_lock);

    return room;
}

static void write_request(struct vcpu *v, const ioreq_t *p, unsigned int kind)
{
    struct reflect_vcpu *r = v->arch.hvm.reflect;

    r->slot->req = (struct sio_xen_request){
        .kind = kind, .write = p->dir == IOREQ_WRITE, .size = p->size, .count = p->count,
        .flags = (p->data_is_ptr ? SIO_XEN_REQ_PTR : 0) | (p->df ? SIO_XEN_REQ_DOWN : 0),
        .addr = p->addr, .data = p->data,
        .now_ns = NOW() - reflect_of(v->domain)->start,
        .events = xchg(&r->s.events, 0),
    };
    r->enter = true;
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
    const struct hvm_reflect_range *hit;
    struct hvm_reflect_range range;
    unsigned int space = p->type == IOREQ_TYPE_COPY;
    unsigned int way = p->dir == IOREQ_WRITE ? SIO_XEN_POSTED : SIO_XEN_SHADOW;
    bool single = p->count == 1 && !p->data_is_ptr;

    if ( likely(!r) )
        return X86EMUL_UNHANDLEABLE;

    read_lock(&rd->lock);
    hit = find_range(rd, space, way, p->addr, p->addr) ?:
          find_range(rd, space, 0, p->addr, p->addr) ?:
          find_range(rd, space, way ^ (SIO_XEN_POSTED | SIO_XEN_SHADOW), p->addr, p->addr);
    if ( hit )
        range = *hit;
    read_unlock(&rd->lock);
    if ( !hit )
        return X86EMUL_UNHANDLEABLE;

    if ( r->active )
        return fault("the firmware touched %s %#lx", space ? "memory" : "port", p->addr) ?:
               X86EMUL_UNHANDLEABLE;

    vio->req.state = STATE_IOREQ_NONE;
    if ( single && WAY(range.arg) == way && p->addr + p->size - 1 <= range.last &&
         (p->dir == IOREQ_WRITE ? post(v, AT(range.arg), p) : shadow(rd, &range, p)) )
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

static void firmware_context(const struct vcpu *v, struct reflect_vcpu *r)
{
    struct context *c = &r->other;
    const struct hvm_reflect *s = &reflect_of(v->domain)->s;
    unsigned int i;

    *c = (struct context){ .cr = { X86_CR0_PE | X86_CR0_ET } };
    c->regs.rip = s->entry;
    c->regs.rflags = X86_EFLAGS_MBS;
    c->regs.rax = SIO_XEN_ENTRY_MAGIC;
    c->regs.rbx = s->slots + v->vcpu_id * PAGE_SIZE;
    c->regs.rcx = v->vcpu_id;
    c->regs.rdx = s->shared;
    for ( i = 0; i <= x86_seg_gs; i++ )
        c->seg[i] = (struct segment_register){ .attr = 0xc93, .limit = ~0u };
    c->seg[x86_seg_cs].attr = 0xc9b;
    c->seg[x86_seg_tr].attr = 0x8b;
    c->seg[x86_seg_tr].limit = 0xffff;
}

static void swap_context(struct vcpu *v, struct context *c)
{
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

    if ( cpu_has_vmx )
    {
        __vmread(VM_ENTRY_INTR_INFO, &old.event);
        __vmread(VM_ENTRY_EXCEPTION_ERROR_CODE, &old.error);
        __vmread(VM_ENTRY_INSTRUCTION_LEN, &old.insn_len);
        __vmwrite(VM_ENTRY_INTR_INFO, c->event);
        __vmwrite(VM_ENTRY_EXCEPTION_ERROR_CODE, c->error);
        __vmwrite(VM_ENTRY_INSTRUCTION_LEN, c->insn_len);
    }
    else
    {
        old.event = vmcb->event_inj.raw;
        vmcb->event_inj.raw = c->event;
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
    struct ioreq_server *s;
    ioreq_t p = r->req;
    struct vcpu *w;

    hvmemul_cancel(v);
    swap_context(v, &r->other);
    v->io.req = p;
    v->io.completion = r->completion;
    v->arch.hvm.hvm_io = r->hvio;
    r->leave = r->active = false;

    /* INIT and SIPI that found us in the firmware are tried again. */
    for_each_vcpu ( v->domain, w )
        if ( vcpu_vlapic(w)->init_sipi.icr )
            tasklet_schedule(&vcpu_vlapic(w)->init_sipi.tasklet);

    if ( p.state != STATE_IOREQ_READY ) /* it was an event */
    {
        vcpu_end_shutdown_deferral(v);
        if ( guest_cpu_user_regs()->rip == r->halted_rip )
            vcpu_block();
        return;
    }

    /* What an instruction to be emulated again has read so far is read again. */
    if ( r->completion == VIO_mmio_completion || r->completion == VIO_realmode_completion )
        hvmemul_cache_restore(v, 0);

    if ( forward && (s = ioreq_server_select(v->domain, &p)) != NULL &&
         ioreq_send(s, &p, false) == X86EMUL_RETRY )
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

    if ( r->leave )
        leave(v, r); /* may set enter: an instruction can do several accesses */

    if ( !r->active && !r->enter && r->s.events &&
         v->io.req.state == STATE_IOREQ_NONE && vcpu_start_shutdown_deferral(v) )
        write_request(v, &(ioreq_t){ .dir = IOREQ_READ }, SIO_XEN_REQ_EVENT);

    if ( r->enter )
    {
        r->req = v->io.req;
        r->completion = v->io.completion;
        r->hvio = v->arch.hvm.hvm_io;
        hvmemul_cancel(v);
        swap_context(v, &r->other);
        r->enter = false;
        r->active = true;
    }

    return r->active;
}

bool reflect_triple_fault(struct vcpu *v)
{
    return reflect_active(v) &&
           !fault("triple fault of the firmware at %#lx", guest_cpu_user_regs()->rip);
}

/* --- interrupts --- */

int reflect_vector(const struct vcpu *v)
{
    return v->arch.hvm.reflect ? (int)v->arch.hvm.reflect->s.vector : -1;
}

void reflect_ack(struct vcpu *v, int vector)
{
    struct reflect_vcpu *r = v->arch.hvm.reflect;

    if ( r )
        r->halted_rip = ~0ul;
    if ( r && vector >= 0 && cmpxchg(&r->s.vector, vector, SIO_XEN_NO_VECTOR) == vector && r->s.tell_taken )
    {
        r->slot->taken = vector;
        set_bit(EVENT_BIT(TAKEN), &r->s.events);
    }
}

void reflect_halt(struct vcpu *v)
{
    if ( v->arch.hvm.reflect && !v->arch.hvm.reflect->active )
        v->arch.hvm.reflect->halted_rip = guest_cpu_user_regs()->rip;
}

/* A local APIC's EOI for a level-triggered vector, where Xen has no IOAPIC to tell. */
bool reflect_eoi(struct vcpu *v, uint8_t vector)
{
    struct reflect_vcpu *r = v->arch.hvm.reflect;

    if ( !r || has_vioapic(v->domain) )
        return false;

    r->slot->eoi = vector;
    set_bit(EVENT_BIT(EOI), &r->s.events);
    return true;
}

bool reflect_hides_xen(const struct vcpu *v)
{
    return v->arch.hvm.reflect && !v->arch.hvm.reflect->active &&
           (reflect_of(v->domain)->s.flags &
            (hvm_paging_enabled(v) ? SIO_XEN_HIDE : SIO_XEN_HIDE | SIO_XEN_HIDE_UNPAGED));
}

/* --- hypercalls --- */

static bool do_op(struct vcpu *v, const struct sio_xen_op *op, uint64_t *out)
{
    struct domain *d = v->domain;
    struct vcpu *w;
    struct reflect_vcpu *r = v->arch.hvm.reflect, *t;
    struct reflect_domain *rd = reflect_of(d);
    struct hvm_reflect_range range = { op->a, op->a + op->b - 1, op->arg };
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
        r->s.deadline = min_t(uint64_t, op->a, STIME_MAX / 2);
        op->a ? set_timer(&r->timer, rd->start + r->s.deadline) : stop_timer(&r->timer);
        return true;

    case SIO_XEN_OP_VECTOR:
        w = op->a < d->max_vcpus ? domain_vcpu(d, op->a) : NULL;
        if ( !w || (op->arg > 0xff && op->arg != SIO_XEN_NO_VECTOR) )
            return false;
        t = w->arch.hvm.reflect;
        t->s.tell_taken = op->b & 1;
        smp_wmb(); /* whoever takes the vector sees tell_taken */
        ACCESS_ONCE(t->s.vector) = op->arg;
        if ( w != v )
            vcpu_kick(w);
        return true;

    case SIO_XEN_OP_CHANNEL:
        if ( op->arg != n || rd->channel[n] || op->a != (domid_t)op->a )
            return false;
        port = alloc_unbound_xen_event_channel(d, v->vcpu_id, op->a, channel_fn);
        if ( port > 0 && cmpxchg(&rd->channel[n], 0, port) )
        {
            free_xen_event_channel(d, port);
            return false;
        }
        *out = port;
        return port > 0;

    case SIO_XEN_OP_CLOSE:
    case SIO_XEN_OP_NOTIFY:
        /* Exclusive: a port that has been closed can be one of the guest's own. */
        write_lock(&rd->lock);
        port = op->arg == n ? rd->channel[n] : 0;
        if ( port && op->code == SIO_XEN_OP_NOTIFY )
            notify_via_xen_event_channel(d, port);
        else if ( port )
        {
            rd->channel[n] = 0;
            free_xen_event_channel(d, port);
        }
        write_unlock(&rd->lock);
        return port;

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
    p2m_type_t t;
    int rc;

    if ( s->version != SIO_XEN_VERSION || (s->slots | s->shared) & ~PAGE_MASK )
        return -EINVAL;
    if ( !paging_mode_hap(d) || nestedhvm_enabled(d) )
        return -EOPNOTSUPP;

    get_gfn_query_unlocked(d, PFN_DOWN(s->entry), &t);
    if ( !p2m_is_ram(t) )
        return -EINVAL;

    domain_lock(d);
    rd = reflect_of(d) ? NULL : xzalloc_flex_struct(struct reflect_domain, vcpu, d->max_vcpus);
    if ( !rd )
    {
        rc = reflect_of(d) ? -EEXIST : -ENOMEM;
        goto out;
    }

    rd->s = *s;
    rd->s.nr_ranges = 0;
    rd->start = NOW() - s->now_ns;
    rwlock_init(&rd->lock);
    spin_lock_init(&rd->posted_lock);
    reflect_of(d) = rd; /* from here on released with the domain, whatever fails */
    rc = prepare_ring_for_helper(d, PFN_DOWN(s->shared), &rd->shared_page,
                                 (void **)&rd->shared);
    rd->prod = rc ? 0 : rd->shared->prod;

    for_each_vcpu ( d, v )
    {
        struct reflect_vcpu *r = &rd->vcpu[v->vcpu_id];

        rc = rc ?: prepare_ring_for_helper(d, PFN_DOWN(s->slots) + v->vcpu_id,
                                           &r->slot_page, (void **)&r->slot);
        if ( rc )
            break;
        init_timer(&r->timer, timer_fn, v, v->processor);
        init_timer(&r->posted_timer, posted_fn, v, v->processor);
        r->s.vector = SIO_XEN_NO_VECTOR;
        r->halted_rip = ~0ul;
        firmware_context(v, r);
    }

    smp_wmb(); /* whoever sees a vCPU's part sees all of it */
    for_each_vcpu ( d, v )
        v->arch.hvm.reflect = rc ? NULL : &rd->vcpu[v->vcpu_id];
    rc = rc ? -EINVAL : 0;

 out:
    domain_unlock(d);

    return rc;
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
        if ( !r || !r->active )
            fault("return without entry");
        else if ( do_ops(v) )
            r->leave = true;
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
    if ( r->active ) /* not while suspended: see vcpu_start_shutdown_deferral() */
        return -EBUSY;

    s = rd->s;
    s.now_ns = NOW() - rd->start;
    s.v = r->s;

    return hvm_save_entry(REFLECT, v->vcpu_id, h, &s);
}

static int cf_check reflect_load(struct domain *d, hvm_domain_context_t *h)
{
    struct vcpu *v = domain_vcpu(d, hvm_load_instance(h));
    struct reflect_vcpu *r;
    struct hvm_reflect s;
    unsigned int i;
    int rc;

    if ( !v || hvm_load_entry(REFLECT, h, &s) || s.nr_ranges > SIO_XEN_MAX_RANGES )
        return -EINVAL;

    if ( !reflect_of(d) ) /* the first vCPU's record brings the domain's part */
    {
        rc = setup(d, &s);
        for ( i = 0; !rc && i < s.nr_ranges; i++ )
            rc = map_range(reflect_of(d), &s.range[i], true) ? 0 : -EINVAL;
        if ( rc )
            return rc;
    }

    r = v->arch.hvm.reflect;
    if ( !r )
        return -EINVAL;
    r->s = s.v;
    if ( r->s.deadline )
        set_timer(&r->timer, reflect_of(d)->start + r->s.deadline);
    if ( r->s.vector > 0xff )
        r->s.vector = SIO_XEN_NO_VECTOR;
    r->s.events &= ~(SIO_XEN_EVENT_CHANNEL(SIO_XEN_MAX_CHANNELS) - 1);
    r->s.events |= SIO_XEN_EVENT_RESTORED;

    return 0;
}

HVM_REGISTER_SAVE_RESTORE(REFLECT, reflect_save, reflect_load, 1, HVMSR_PER_VCPU);
