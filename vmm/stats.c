/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stats.c - what --stats writes.
 *
 * Times are taken with the TSC and turned into ns at the end by the domain's own run time.  CPU time
 * of a vCPU's thread is split in three: companion (in the firmware, KVM_RUN and its hypercalls'
 * handling), host (the reflector around it) and guest (the rest: the thread's CPU time less these).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/domain.h"

static unsigned bucket(uint64_t t)
{
	unsigned e;

	if (t < HIST_STEPS)
		return (unsigned)t;
	e = 63 - (unsigned)__builtin_clzll(t);
	return (e - 2) * HIST_STEPS + (unsigned)(t >> (e - 3) & (HIST_STEPS - 1));
}

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

	if (!*s)
		*s = calloc(1, sizeof(**s));
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
	to->requests += from->requests;
	to->bytes += from->bytes;
	to->ns += from->ns;
	to->shadowed += from->shadowed;
	for (unsigned b = 0; b < HIST_SIZE; b++)
		to->hist[b] += from->hist[b];
}

static void write_model(const struct home *h, unsigned m, FILE *f, double ns, const char **sep)
{
	static struct model_stats sum;

	memset(&sum, 0, sizeof(sum));
	for (unsigned i = 0; i < h->d->n_vcpus; i++)
		if (h->d->vcpu[i].models[h->kind][m])
			merge(&sum, h->d->vcpu[i].models[h->kind][m]);
	if (!sum.requests && !sum.shadowed)
		return;
	fprintf(f,
		"%s\n    \"%s\": { \"home\": \"%s\", \"requests\": %llu, \"bytes\": %llu, \"median_ns\": %.0f, "
		"\"p99_ns\": %.0f, \"total_ns\": %.0f, \"shadowed\": %llu }",
		*sep, h->model_name[m], h->ops->name, (unsigned long long)sum.requests,
		(unsigned long long)sum.bytes, percentile(&sum, 0.5) * ns, percentile(&sum, 0.99) * ns,
		(double)sum.ns * ns, (unsigned long long)sum.shadowed);
	*sep = ",";
}

static void write_models(struct domain *d, FILE *f, double ns)
{
	const char *sep = "";

	fprintf(f, "  \"models\": {");
	for (unsigned k = 0; k < N_HOMES; k++)
		for (unsigned m = 1; d->home[k] && m < SIO_MAX_MODELS; m++)
			write_model(d->home[k], m, f, ns, &sep);
	fprintf(f, "\n  },\n");
}

static uint64_t vm_rss_kib(const char *key)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	uint64_t kib = 0;

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtoull(line + strlen(key), NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

int stats_write(struct domain *d, const char *path)
{
	static const char *const names[EXIT_KINDS] = { "pio_read",   "pio_write", "mmio_read",
						       "mmio_write", "signal",    "other" };
	uint64_t wall = domain_now_ns(d), exits[EXIT_KINDS] = { 0 }, unclaimed = 0, comp_exits = 0,
		 io_runs = 0, priv = 0, image = 0, io_ticks = 0;
	double ns = (double)wall / (double)(tsc() - d->start_tsc), cpu = 0, comp = 0, host = 0,
	       io_comp;
	struct fast_stats fast;
	FILE *f = fopen(path, "w");

	if (!f)
		return fail_errno("can't write %s", path);
	for (unsigned i = 0; i < d->n_vcpus; i++) {
		struct vcpu *v = &d->vcpu[i];

		for (unsigned k = 0; k < EXIT_KINDS; k++)
			exits[k] += v->exits[k];
		unclaimed += v->unclaimed;
		cpu += (double)v->cpu_ns;
		host += (double)v->host_tsc * ns;
	}
	for (unsigned k = 0; k < N_HOMES; k++) {
		struct home *h = d->home[k];

		if (!h)
			continue;
		for (unsigned i = 0; i <= d->n_vcpus; i++)
			comp_exits += h->ctx[i].exits;
		for (unsigned i = 0; i < d->n_vcpus; i++)
			comp += (double)h->ctx[i].tsc * ns;
		io_ticks += h->ctx[d->n_vcpus].tsc;
		io_runs += h->ctx[d->n_vcpus].hypercalls[SIO_HC_WAIT];
		priv += h->priv_size;
		image += h->image_len;
	}
	io_comp = (double)io_ticks * ns;
	fast_stats(d, &fast);
	fprintf(f,
		"{\n  \"version\": 1,\n  \"wall_ns\": %llu,\n  \"vcpus\": %u,\n  \"resets\": %u,\n"
		"  \"firmware_resets\": %u,\n",
		(unsigned long long)wall, d->n_vcpus, d->resets, d->fw_resets);
	fprintf(f, "  \"guest_exits\": {");
	for (unsigned k = 0; k < EXIT_KINDS; k++)
		fprintf(f, "%s \"%s\": %llu", k ? "," : "", names[k], (unsigned long long)exits[k]);
	fprintf(f, ", \"unclaimed\": %llu },\n", (unsigned long long)unclaimed);
	fprintf(f, "  \"companion_exits\": %llu,\n  \"io_context_runs\": %llu,\n",
		(unsigned long long)comp_exits, (unsigned long long)io_runs);
	fprintf(f, "  \"fast\": { \"posted\": %llu, \"batches\": %llu, \"flushes\": %llu, \"doorbells\": %llu },\n",
		(unsigned long long)fast.posted, (unsigned long long)fast.batches,
		(unsigned long long)fast.flushes, (unsigned long long)fast.doorbells);
	write_models(d, f, ns);
	fprintf(f, "  \"cpu_ns\": { \"guest\": %.0f, \"companion\": %.0f, \"host\": %.0f },\n",
		cpu > comp + host ? cpu - comp - host : 0, comp + io_comp,
		host + ((double)d->io_cpu_ns > io_comp ? (double)d->io_cpu_ns - io_comp : 0));
	fprintf(f, "  \"disks\": [");
	for (unsigned i = 0; i < d->opt->n_disks; i++) {
		struct blk_stats s;

		blk_stats(d->disk[i], &s);
		fprintf(f,
			"%s\n    { \"reads\": %llu, \"writes\": %llu, \"flushes\": %llu, \"bytes_read\": %llu, "
			"\"bytes_written\": %llu, \"inline\": %llu, \"async\": %llu, \"copied\": %llu, \"errors\": %llu }",
			i ? "," : "", (unsigned long long)s.reads, (unsigned long long)s.writes,
			(unsigned long long)s.flushes, (unsigned long long)s.read_bytes,
			(unsigned long long)s.write_bytes, (unsigned long long)s.inline_done,
			(unsigned long long)s.async_done, (unsigned long long)s.bounced,
			(unsigned long long)s.errors);
	}
	fprintf(f, "\n  ],\n  \"nets\": [");
	for (unsigned i = 0; i < d->opt->n_nets; i++) {
		struct net_stats s;

		net_stats(d->net[i], &s);
		fprintf(f,
			"%s\n    { \"tx_frames\": %llu, \"tx_bytes\": %llu, \"tx_drops\": %llu, \"rx_frames\": %llu, "
			"\"rx_bytes\": %llu, \"rx_drops\": %llu, \"link_losses\": %llu, \"vhost\": %s }",
			i ? "," : "", (unsigned long long)s.tx_frames, (unsigned long long)s.tx_bytes,
			(unsigned long long)s.tx_drops, (unsigned long long)s.rx_frames,
			(unsigned long long)s.rx_bytes, (unsigned long long)s.rx_drops,
			(unsigned long long)s.link_losses, s.vhost ? "true" : "false");
	}
	fprintf(f,
		"\n  ],\n  \"memory\": { \"guest_ram\": %llu, \"firmware_private\": %llu, \"firmware_image\": %llu, "
		"\"process_anon_kib\": %llu }\n}\n",
		(unsigned long long)d->opt->mem, (unsigned long long)priv, (unsigned long long)image,
		(unsigned long long)vm_rss_kib("RssAnon:"));
	if (fflush(f) || ferror(f)) {
		fail_errno("can't write %s", path);
		fclose(f);
		return -1;
	}
	fclose(f);
	return 0;
}
