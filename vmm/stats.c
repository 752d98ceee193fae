/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stats.c - counting, and its report: what --stats writes and the control socket answers.
 *
 * Counts belong to the thread that counts; the report reads them without a lock, so that it holds nobody
 * up and no one it: a home that hangs may hold any lock.  Each is one aligned load.
 *
 * Durations are taken with the TSC and turned into ns by the domain's own run time.  They are time on the
 * wall: asking for a thread's CPU time at each way into a home and out would cost as much as many
 * reflections do.  For the split of CPU time they are scaled by what the thread got of a processor while it
 * could have used one (split() below, at each look), and what they leave of its CPU time is the guest's: the sum is the
 * threads' CPU time, to the ns, whatever the parts.  Homes in other processes have clocks of their own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/domain.h"

#define RANGES_MAX 256u /* the busiest ones, in a report */

static uint64_t peek(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static unsigned bucket(uint64_t t)
{
	unsigned e;

	if (t < HIST_STEPS)
		return (unsigned)t;
	e = 63 - (unsigned)__builtin_clzll(t);
	return (e - 2) * HIST_STEPS + (unsigned)(t >> (e - 3) & (HIST_STEPS - 1));
}

/* Its middle. */
static double bucket_value(unsigned b)
{
	if (b < HIST_STEPS)
		return b;
	return ((double)(HIST_STEPS + b % HIST_STEPS) + 0.5) *
	       (double)(1ull << (b / HIST_STEPS - 1));
}

struct model_stats *stats_model(struct vcpu *v, uint16_t owner)
{
	struct model_stats **s = &v->models[OWNER_HOME(owner)][OWNER_MODEL(owner)];

	/* Release: who finds it finds it zeroed. */
	if (!*s)
		__atomic_store_n(s, calloc(1, sizeof(**s)), __ATOMIC_RELEASE);
	return *s;
}

void stats_count(struct vcpu *v, uint16_t owner, uint64_t bytes, uint64_t ticks)
{
	struct model_stats *s = stats_model(v, owner);

	if (!s)
		return;
	s->requests++;
	s->bytes += bytes;
	s->ns += ticks;
	s->hist[bucket(ticks)]++;
}

void stats_page(struct vcpu *v, uint64_t addr, bool write)
{
	uint64_t page = addr / SIO_PAGE + 1;

	for (unsigned i = 0; i < PAGES_MAX; i++) {
		struct page_count *c = &v->pages[(page + i) % PAGES_MAX];

		if (!c->page)
			__atomic_store_n(&c->page, page, __ATOMIC_RELAXED);
		if (c->page == page) {
			c->count[write]++;
			return;
		}
	}
}

/* Models. */

static double percentile(const struct model_stats *s, double p)
{
	uint64_t want = (uint64_t)((double)s->requests * p), seen = 0;

	for (unsigned b = 0; b < HIST_SIZE; b++) {
		seen += s->hist[b];
		if (seen > want)
			return bucket_value(b);
	}
	return 0;
}

static void merge(struct model_stats *to, const struct model_stats *from)
{
	to->bytes += peek(&from->bytes);
	to->ns += peek(&from->ns);
	to->shadowed += peek(&from->shadowed);
	for (unsigned b = 0; b < HIST_SIZE; b++) {
		uint32_t n = __atomic_load_n(&from->hist[b], __ATOMIC_RELAXED);

		to->hist[b] += n;
		to->requests += n; /* what percentiles are taken of */
	}
}

/* Two devices of one kind, or one of each home: the first has the name alone. */
static bool named_before(const struct domain *d, const struct home *h, unsigned m)
{
	for (unsigned k = 0; k <= (unsigned)h->kind; k++)
		for (unsigned i = 1; d->home[k] && i < (d->home[k] == h ? m : SIO_MAX_MODELS); i++)
			if (strcmp(d->home[k]->model_name[i], h->model_name[m]) == 0)
				return true;
	return false;
}

static void print_model(const struct home *h, unsigned m, FILE *f, double ns, const char **sep)
{
	struct model_stats sum = { 0 };
	char more[32] = "";
	const char *hist_sep = "";

	for (unsigned i = 0; i < h->d->n_vcpus; i++) {
		const struct model_stats *s =
			__atomic_load_n(&h->d->vcpu[i].models[h->kind][m], __ATOMIC_ACQUIRE);

		if (s)
			merge(&sum, s);
	}
	if (!sum.requests && !sum.shadowed)
		return;
	if (named_before(h->d, h, m))
		snprintf(more, sizeof(more), ".%s.%u", h->ops->name, m);
	fprintf(f,
		"%s\n    \"%s%s\": { \"home\": \"%s\", \"requests\": %llu, \"bytes\": %llu, "
		"\"median_ns\": %.0f, \"p99_ns\": %.0f, \"total_ns\": %.0f, \"shadowed\": %llu,\n"
		"      \"histogram\": [",
		*sep, h->model_name[m], more, h->ops->name, (unsigned long long)sum.requests,
		(unsigned long long)sum.bytes, percentile(&sum, 0.5) * ns,
		percentile(&sum, 0.99) * ns, (double)sum.ns * ns, (unsigned long long)sum.shadowed);
	for (unsigned b = 0; b < HIST_SIZE; b++)
		if (sum.hist[b]) {
			fprintf(f, "%s[%.1f, %u]", hist_sep, bucket_value(b), sum.hist[b]);
			hist_sep = ", ";
		}
	fprintf(f, "] }");
	*sep = ",";
}

static void print_models(struct domain *d, FILE *f, double ns)
{
	const char *sep = "";

	fprintf(f, "  \"models\": {");
	for (unsigned k = 0; k < N_HOMES; k++)
		for (unsigned m = 1; d->home[k] && m < SIO_MAX_MODELS; m++)
			print_model(d->home[k], m, f, ns, &sep);
	fprintf(f, "\n  },\n");
}

/* Ranges. */

struct range_count {
	unsigned kind; /* SIO_REQ_PIO, SIO_REQ_MMIO */
	uint64_t base, len, count[2];
};

static int busier(const void *a, const void *b)
{
	const struct range_count *x = a, *y = b;
	uint64_t m = x->count[0] + x->count[1], n = y->count[0] + y->count[1];

	return m < n ? 1 : m > n ? -1 : 0;
}

static unsigned collect_ports(const struct domain *d, struct range_count *r)
{
	unsigned n = 0;

	for (unsigned p = 0; p < 0x10000 / PORT_BLOCK; p++) {
		struct range_count c = { SIO_REQ_PIO, p * PORT_BLOCK, PORT_BLOCK, { 0 } };

		for (unsigned i = 0; i < d->n_vcpus; i++)
			for (unsigned w = 0; w < 2; w++)
				c.count[w] += peek(&d->vcpu[i].ports[p][w]);
		if (c.count[0] || c.count[1])
			r[n++] = c;
	}
	return n;
}

static unsigned collect_pages(const struct domain *d, struct range_count *r)
{
	unsigned n = 0, k;

	for (unsigned i = 0; i < d->n_vcpus * PAGES_MAX; i++) {
		const struct page_count *c = &d->vcpu[i / PAGES_MAX].pages[i % PAGES_MAX];
		uint64_t page = peek(&c->page);

		if (!page)
			continue;
		for (k = 0; k < n && r[k].base != (page - 1) * SIO_PAGE; k++)
			;
		if (k == n)
			r[n++] = (struct range_count){
				SIO_REQ_MMIO, (page - 1) * SIO_PAGE, SIO_PAGE, { 0 }
			};
		for (unsigned w = 0; w < 2; w++)
			r[k].count[w] += peek(&c->count[w]);
	}
	return n;
}

/* The models that claim anything in it now, and the first one's home. */
static void print_owners(struct domain *d, const struct range_count *r, FILE *f)
{
	uint16_t seen[4];
	unsigned n = 0, k;
	uint64_t step = r->kind == SIO_REQ_PIO ? 1 : r->len;

	fprintf(f, "\"models\": [");
	for (uint64_t a = r->base; a < r->base + r->len && n < 4; a += step) {
		uint16_t owner = reflect_owner(d, r->kind, a, (unsigned)step);

		for (k = 0; k < n && seen[k] != owner; k++)
			;
		if (!owner || k < n || !d->home[OWNER_HOME(owner)])
			continue;
		fprintf(f, "%s\"%s\"", n ? ", " : "",
			d->home[OWNER_HOME(owner)]->model_name[OWNER_MODEL(owner)]);
		seen[n++] = owner;
	}
	fprintf(f, "], \"home\": \"%s\"", n ? d->home[OWNER_HOME(seen[0])]->ops->name : "");
}

static void print_ranges(struct domain *d, FILE *f)
{
	struct range_count *r =
		calloc(0x10000 / PORT_BLOCK + SIO_MAX_VCPUS * PAGES_MAX, sizeof(*r));
	unsigned n = r ? collect_ports(d, r) : 0;

	if (r)
		n += collect_pages(d, r + n);
	if (r)
		qsort(r, n, sizeof(*r), busier);
	fprintf(f, "  \"ranges\": [");
	for (unsigned i = 0; i < n && i < RANGES_MAX; i++) {
		fprintf(f, "%s\n    { \"space\": \"%s\", \"base\": %llu, \"len\": %llu, ",
			i ? "," : "", r[i].kind == SIO_REQ_PIO ? "pio" : "mmio",
			(unsigned long long)r[i].base, (unsigned long long)r[i].len);
		print_owners(d, &r[i], f);
		fprintf(f, ", \"reads\": %llu, \"writes\": %llu }",
			(unsigned long long)r[i].count[0], (unsigned long long)r[i].count[1]);
	}
	fprintf(f, "\n  ],\n");
	free(r);
}

/* CPU time. */

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	return clock_gettime(id, &ts) ? 0 :
					(uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* The scheduler's: a thread's time on a processor, its time in the queue for one. */
static uint64_t delay_ns(pid_t tid)
{
	char path[64];
	unsigned long long ran, waited;
	FILE *f;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", (int)tid);
	f = fopen(path, "re");
	if (f) {
		n = fscanf(f, "%llu %llu", &ran, &waited);
		fclose(f);
	}
	return n == 2 ? waited : 0;
}

void thread_time(pthread_t t, pid_t tid, struct thread_time *to)
{
	clockid_t id;
	uint64_t delay;

	if (!tid || __atomic_load_n(&to->cpu_ns, __ATOMIC_ACQUIRE) || pthread_getcpuclockid(t, &id))
		return;
	delay = delay_ns(tid);
	to->delay_ns = delay;
	/* Release: with it, the other is there. */
	__atomic_store_n(&to->cpu_ns, clock_ns(id), __ATOMIC_RELEASE);
}

/* Of a thread that may run on: its own copy. */
static struct thread_time time_now(pthread_t t, pid_t tid, const struct thread_time *ended)
{
	struct thread_time now = { .cpu_ns = __atomic_load_n(&ended->cpu_ns, __ATOMIC_ACQUIRE) };

	if (now.cpu_ns)
		now.delay_ns = ended->delay_ns;
	else
		thread_time(t, tid, &now);
	return now;
}

/* Time on the wall in a context, up to now. */
static double context_ns(const struct domain *d, const struct context *c, double ns)
{
	double t = (double)peek(&c->tsc) * ns;
	uint64_t in = c->entered_ns, now = domain_now_ns(d);

	return t + (in && in < now ? (double)(now - in) : 0);
}

/* How much it grew since the last look. */
static double grown(double *last, double now)
{
	double more = now > *last ? now - *last : 0;

	*last += more;
	return more;
}

/* What a thread did since the last look: times on the wall are what they had of a processor if all that
 * it wanted to do had to wait for one alike; while the guest idles, the thread does not want one. */
static void split(const struct domain *d, unsigned n, struct thread_time t, double host, double ns,
		  struct cpu_split *s)
{
	double comp = 0, cpu = grown(&s->cpu, (double)t.cpu_ns),
	       delay = grown(&s->delay, (double)t.delay_ns);
	double got = cpu + delay > 0 ? cpu / (cpu + delay) : 0;

	for (unsigned k = 0; k < N_HOMES; k++) {
		const struct context *c = d->home[k] ? &d->home[k]->ctx[n] : NULL;

		/* Waiting for another process is the program's; what that does, its own clock tells. */
		if (c && d->home[k]->ops->apart)
			host += (double)peek(&c->tsc) * ns - (double)peek(&c->asleep_ns);
		else if (c)
			comp += context_ns(d, c, ns);
	}
	comp = grown(&s->comp_wall, comp) * got;
	host = grown(&s->host_wall, host) * got;
	if (n == d->n_vcpus) /* the I/O thread has no guest */
		host = cpu > comp ? cpu - comp : 0;
	if (comp + host > cpu) {
		comp *= cpu / (comp + host);
		host = cpu - comp;
	}
	s->companion += comp;
	s->host += host;
	s->guest += cpu - comp - host;
}

static double tick_ns(const struct domain *d)
{
	uint64_t ticks = tsc() - d->start_tsc;

	return ticks ? (double)domain_now_ns(d) / (double)ticks : 0;
}

void stats_look(struct domain *d)
{
	double ns = tick_ns(d);

	for (unsigned i = 0; i < d->n_vcpus; i++) {
		const struct vcpu *v = &d->vcpu[i];

		split(d, i, time_now(v->thread, v->tid, &v->time), (double)peek(&v->host_tsc) * ns,
		      ns, &d->split[i]);
	}
	split(d, d->n_vcpus, time_now(d->io_thread, d->io_tid, &d->io_time), 0, ns,
	      &d->split[d->n_vcpus]);
}

/* What the processes of homes used. */
static double apart_ns(const struct domain *d)
{
	double sum = 0;
	clockid_t id;

	for (unsigned k = 0; k < N_HOMES; k++) {
		const struct home *h = d->home[k];

		if (!h || !h->ops->apart)
			continue;
		sum += (double)peek(&h->past_cpu_ns);
		if (h->pidfd >= 0 && !h->gone && clock_getcpuclockid(h->pid, &id) == 0)
			sum += (double)clock_ns(id);
	}
	return sum;
}

static void print_cpu(struct domain *d, FILE *f)
{
	double guest = 0, comp = apart_ns(d), host = 0, wall = 0;

	stats_look(d);
	for (unsigned i = 0; i <= d->n_vcpus; i++) {
		guest += d->split[i].guest;
		comp += d->split[i].companion;
		host += d->split[i].host;
		wall += d->split[i].comp_wall;
	}
	fprintf(f, "  \"cpu_ns\": { \"guest\": %.0f, \"companion\": %.0f, \"host\": %.0f },\n",
		guest, comp, host);
	fprintf(f, "  \"companion_wall_ns\": %.0f,\n", wall);
}

/* The report. */

static uint64_t vm_rss_kib(const char *key)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[128];
	uint64_t kib = 0;

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtoull(line + strlen(key), NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

static void print_exits(const struct domain *d, FILE *f)
{
	static const char *const names[EXIT_KINDS] = { "pio_read",   "pio_write", "mmio_read",
						       "mmio_write", "signal",    "triple_fault",
						       "other" };
	uint64_t exits[EXIT_KINDS] = { 0 }, unclaimed = 0;

	for (unsigned i = 0; i < d->n_vcpus; i++) {
		for (unsigned k = 0; k < EXIT_KINDS; k++)
			exits[k] += peek(&d->vcpu[i].exits[k]);
		unclaimed += peek(&d->vcpu[i].unclaimed);
	}
	fprintf(f, "  \"guest_exits\": {");
	for (unsigned k = 0; k < EXIT_KINDS; k++)
		fprintf(f, "%s \"%s\": %llu", k ? "," : "", names[k], (unsigned long long)exits[k]);
	fprintf(f, ", \"unclaimed\": %llu },\n", (unsigned long long)unclaimed);
}

static void print_disks(struct domain *d, FILE *f)
{
	fprintf(f, "  \"disks\": [");
	for (unsigned i = 0; i < d->opt->n_disks; i++) {
		struct blk_stats s;

		blk_stats(d->disk[i], &s);
		fprintf(f,
			"%s\n    { \"reads\": %llu, \"writes\": %llu, \"flushes\": %llu, \"bytes_read\": %llu, "
			"\"bytes_written\": %llu, \"inline\": %llu, \"async\": %llu, \"copied\": %llu, "
			"\"errors\": %llu, \"in_flight\": %llu }",
			i ? "," : "", (unsigned long long)s.reads, (unsigned long long)s.writes,
			(unsigned long long)s.flushes, (unsigned long long)s.read_bytes,
			(unsigned long long)s.write_bytes, (unsigned long long)s.inline_done,
			(unsigned long long)s.async_done, (unsigned long long)s.bounced,
			(unsigned long long)s.errors, (unsigned long long)s.in_flight);
	}
	fprintf(f, "\n  ],\n");
}

static void print_nets(struct domain *d, FILE *f)
{
	fprintf(f, "  \"nets\": [");
	for (unsigned i = 0; i < d->opt->n_nets; i++) {
		struct net_stats s;

		net_stats(d->net[i], &s);
		fprintf(f,
			"%s\n    { \"tx_frames\": %llu, \"tx_bytes\": %llu, \"tx_drops\": %llu, \"rx_frames\": %llu, "
			"\"rx_bytes\": %llu, \"rx_drops\": %llu, \"link_losses\": %llu, \"vhost\": %s }",
			i ? "," : "", (unsigned long long)s.tx_frames,
			(unsigned long long)s.tx_bytes, (unsigned long long)s.tx_drops,
			(unsigned long long)s.rx_frames, (unsigned long long)s.rx_bytes,
			(unsigned long long)s.rx_drops, (unsigned long long)s.link_losses,
			s.vhost ? "true" : "false");
	}
	fprintf(f, "\n  ],\n");
}

void stats_print(struct domain *d, FILE *f)
{
	uint64_t wall = domain_now_ns(d), comp_exits = 0, io_runs = 0, priv = 0, image = 0;
	uint64_t mmio = 0, yields = 0;
	double ns = tick_ns(d);
	struct fast_stats fast;

	for (unsigned k = 0; k < N_HOMES; k++) {
		const struct home *h = d->home[k];

		if (!h)
			continue;
		for (unsigned i = 0; i <= d->n_vcpus; i++) {
			comp_exits += peek(&h->ctx[i].exits);
			mmio += peek(&h->ctx[i].mmio_exits);
			yields += peek(&h->ctx[i].hypercalls[SIO_HC_YIELD]);
		}
		io_runs += peek(&h->ctx[d->n_vcpus].hypercalls[SIO_HC_WAIT]);
		priv += h->priv_size;
		image += h->image_len;
	}
	fast_stats(d, &fast);
	fprintf(f, "{\n  \"version\": 1,\n  \"pid\": %d,\n", (int)getpid());
	if (d->opt->name)
		fprintf(f, "  \"name\": \"%s\",\n", d->opt->name);
	else
		fprintf(f, "  \"name\": \"%d\",\n", (int)getpid());
	fprintf(f,
		"  \"wall_ns\": %llu,\n  \"tick_ns\": %.9g,\n  \"vcpus\": %u,\n  \"resets\": %u,\n"
		"  \"firmware_resets\": %u,\n",
		(unsigned long long)wall, ns, d->n_vcpus, d->resets, d->fw_resets);
	print_exits(d, f);
	fprintf(f,
		"  \"companion_exits\": %llu,\n  \"io_context_runs\": %llu,\n"
		"  \"companion_mmio\": %llu,\n  \"companion_yields\": %llu,\n",
		(unsigned long long)comp_exits, (unsigned long long)io_runs,
		(unsigned long long)mmio, (unsigned long long)yields);
	fprintf(f,
		"  \"fast\": { \"posted\": %llu, \"batches\": %llu, \"flushes\": %llu, \"doorbells\": %llu,\n"
		"    \"kicks\": %llu },\n",
		(unsigned long long)fast.posted, (unsigned long long)fast.batches,
		(unsigned long long)fast.flushes, (unsigned long long)fast.doorbells,
		(unsigned long long)fast.kicks);
	print_models(d, f, ns);
	print_ranges(d, f);
	print_cpu(d, f);
	print_disks(d, f);
	print_nets(d, f);
	fprintf(f,
		"  \"memory\": { \"guest_ram\": %llu, \"firmware_private\": %llu, \"firmware_image\": %llu, "
		"\"process_anon_kib\": %llu }\n}\n",
		(unsigned long long)d->opt->mem, (unsigned long long)priv,
		(unsigned long long)image, (unsigned long long)vm_rss_kib("RssAnon:"));
}

int stats_write(struct domain *d, const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return fail_errno("can't write %s", path);
	stats_print(d, f);
	if (fflush(f) || ferror(f)) {
		fail_errno("can't write %s", path);
		fclose(f);
		return -1;
	}
	fclose(f);
	return 0;
}
