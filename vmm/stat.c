/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stat.c - `selfio stat`: what a running domain does.  The control socket gives what was counted since its
 * start; this shows what came to it in each interval.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/control.h"
#include "vmm/domain.h"
#include "vmm/json.h"

#define ANSWER_MAX  (8u << 20)
#define PATIENCE_MS 5000
#define DOMAINS_MAX 256u
#define ROWS_MAX    (SIO_MAX_MODELS * N_HOMES)
#define RANGES_MAX  256u

static const char usage_text[] =
	"usage: selfio stat [OPTION]... [NAME|PID]\n"
	"Shows what a running domain does, each second; without a name the only one, or a list of all.\n"
	"\n"
	"  --interval S    show it each S seconds, 0.1 to 3600 (1)\n"
	"  --count N       end after N intervals\n"
	"  --once          one interval, as --count 1\n"
	"  --json          a line of JSON for each interval\n"
	"\n"
	"Exit status: 0 shown, 1 no such domain, 2 a wrong option.\n";

struct stat_opts {
	double interval;
	unsigned long count; /* 0: until the domain or we are ended */
	bool json;
	const char *who;
};

/* One answer. */
struct sample {
	char *text;
	struct json_node *node;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void sample_free(struct sample *s)
{
	free(s->text);
	free(s->node);
	*s = (struct sample){ 0 };
}

/* A line from fd, without its end; NULL: none came. */
static char *read_line(int fd, size_t *len)
{
	uint64_t until = now_ms() + PATIENCE_MS;
	char *text = NULL, *more;
	size_t room = 0;

	for (*len = 0; *len < ANSWER_MAX && now_ms() < until;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (*len + 1 >= room) {
			room = room ? 2 * room : 65536;
			more = realloc(text, room);
			if (!more)
				break;
			text = more;
		}
		if (poll(&p, 1, 100) <= 0)
			continue;
		n = recv(fd, text + *len, room - *len - 1, 0);
		if (n <= 0)
			break;
		*len += (size_t)n;
		if (text[*len - 1] == '\n') {
			text[--*len] = 0;
			return text;
		}
	}
	free(text);
	return NULL;
}

/* Asks for the counters; 0 or -1. */
static int sample_take(int dir, const char *name, struct sample *s)
{
	static const char ask[] = "{\"cmd\":\"stats\"}\n";
	pid_t pid;
	int fd = control_connect(dir, name, &pid);
	size_t len = 0;
	bool ok;

	*s = (struct sample){ 0 };
	if (fd < 0)
		return -1;
	if (send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(ask) - 1)
		s->text = read_line(fd, &len);
	close(fd);
	if (s->text)
		s->node = calloc(len + 1, sizeof(*s->node));
	ok = s->node && json_parse(s->text, len, s->node, (unsigned)len + 1) > 0 &&
	     json_get(s->text, s->node, "wall_ns");
	if (!ok)
		sample_free(s);
	return ok ? 0 : -1;
}

/* A number by its path in the object. */
static double get(const struct sample *s, const char *group, const char *name)
{
	const struct json_node *o = group ? json_get(s->text, s->node, group) : s->node;

	return json_number(json_get(s->text, o, name));
}

/* What came to a count from a to b; a reset of counters does not exist, rounding does. */
static double came(double a, double b)
{
	return b > a ? b - a : 0;
}

struct latency {
	double requests, median_ns, p99_ns;
};

struct row {
	char name[64], home[16];
	double shadowed, bytes; /* a second */
	struct latency l;
};

struct range {
	char space[8], home[16], models[80];
	double base, len, reads, writes;
};

struct view {
	double seconds;
	const struct sample *a, *b;
	struct latency all;
	double shadowed;
	struct row row[ROWS_MAX];
	unsigned n_rows;
	struct range range[RANGES_MAX];
	unsigned n_ranges;
};

/* A histogram of what came between, [ticks, count] in order. */
struct hist {
	unsigned n;
	double ticks[HIST_SIZE], count[HIST_SIZE], total;
};

static void hist_add(struct hist *h, double ticks, double count)
{
	unsigned i = 0, k;

	while (i < h->n && h->ticks[i] < ticks)
		i++;
	if (i == h->n || h->ticks[i] != ticks) { /* exact: the same text */
		if (h->n == HIST_SIZE)
			return;
		for (k = h->n++; k > i; k--) {
			h->ticks[k] = h->ticks[k - 1];
			h->count[k] = h->count[k - 1];
		}
		h->ticks[i] = ticks;
		h->count[i] = 0;
	}
	h->count[i] += count;
	h->total += count;
}

/* Adds (or takes away) a model's. */
static void hist_model(struct hist *h, const struct sample *s, const struct json_node *m,
		       double sign)
{
	const struct json_node *a = json_get(s->text, m, "histogram"), *n, *ticks;

	for (n = json_first(a); n; n = json_next(a, n)) {
		ticks = json_first(n);
		if (ticks && json_next(n, ticks))
			hist_add(h, json_number(ticks), sign * json_number(json_next(n, ticks)));
	}
}

static double hist_at(const struct hist *h, double share)
{
	double seen = 0;

	for (unsigned i = 0; i < h->n; i++) {
		seen += h->count[i];
		if (seen > h->total * share)
			return h->ticks[i];
	}
	return 0;
}

static struct latency latency(const struct hist *h, double tick_ns, double seconds)
{
	return (struct latency){ h->total / seconds, hist_at(h, 0.5) * tick_ns,
				 hist_at(h, 0.99) * tick_ns };
}

static int by_requests(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->l.requests < y->l.requests ? 1 :
	       x->l.requests > y->l.requests ? -1 :
					       strcmp(x->name, y->name);
}

static void view_models(struct view *v)
{
	static struct hist all, h;
	const struct json_node *now = json_get(v->b->text, v->b->node, "models"), *n;
	const struct json_node *then = json_get(v->a->text, v->a->node, "models");
	double tick_ns = get(v->b, NULL, "tick_ns");

	memset(&all, 0, sizeof(all));
	for (n = json_first(now); n && v->n_rows < ROWS_MAX; n = json_next(now, n + 1)) {
		struct row *r = &v->row[v->n_rows++];
		const struct json_node *m = n + 1, *old;

		memset(&h, 0, sizeof(h));
		json_copy(v->b->text, n, r->name, sizeof(r->name));
		json_copy(v->b->text, json_get(v->b->text, m, "home"), r->home, sizeof(r->home));
		old = json_get(v->a->text, then, r->name);
		hist_model(&h, v->b, m, 1);
		hist_model(&h, v->a, old, -1);
		hist_model(&all, v->b, m, 1);
		hist_model(&all, v->a, old, -1);
		r->l = latency(&h, tick_ns, v->seconds);
		r->bytes = came(json_number(json_get(v->a->text, old, "bytes")),
				json_number(json_get(v->b->text, m, "bytes"))) /
			   v->seconds;
		r->shadowed = came(json_number(json_get(v->a->text, old, "shadowed")),
				   json_number(json_get(v->b->text, m, "shadowed"))) /
			      v->seconds;
		v->shadowed += r->shadowed;
	}
	v->all = latency(&all, tick_ns, v->seconds);
	qsort(v->row, v->n_rows, sizeof(v->row[0]), by_requests);
}

static int by_exits(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	double m = x->reads + x->writes, n = y->reads + y->writes;

	return m < n ? 1 : m > n ? -1 : 0;
}

/* The same range in another sample. */
static const struct json_node *find_range(const struct sample *s, const struct range *r)
{
	const struct json_node *a = json_get(s->text, s->node, "ranges"), *n;

	for (n = json_first(a); n; n = json_next(a, n))
		if (json_number(json_get(s->text, n, "base")) == r->base &&
		    json_is(s->text, json_get(s->text, n, "space"), r->space))
			return n;
	return NULL;
}

static void view_ranges(struct view *v)
{
	const char *t = v->b->text;
	const struct json_node *a = json_get(t, v->b->node, "ranges"), *n, *m, *models;

	for (n = json_first(a); n && v->n_ranges < RANGES_MAX; n = json_next(a, n)) {
		struct range *r = &v->range[v->n_ranges];
		const struct json_node *old;
		size_t at = 0;

		memset(r, 0, sizeof(*r));
		json_copy(t, json_get(t, n, "space"), r->space, sizeof(r->space));
		json_copy(t, json_get(t, n, "home"), r->home, sizeof(r->home));
		models = json_get(t, n, "models");
		for (m = json_first(models); m && at + 20 < sizeof(r->models);
		     m = json_next(models, m)) {
			if (at)
				r->models[at++] = '+';
			json_copy(t, m, r->models + at, sizeof(r->models) - at);
			at += strlen(r->models + at);
		}
		r->base = json_number(json_get(t, n, "base"));
		r->len = json_number(json_get(t, n, "len"));
		old = find_range(v->a, r);
		r->reads = came(json_number(json_get(v->a->text, old, "reads")),
				json_number(json_get(t, n, "reads"))) /
			   v->seconds;
		r->writes = came(json_number(json_get(v->a->text, old, "writes")),
				 json_number(json_get(t, n, "writes"))) /
			    v->seconds;
		v->n_ranges += r->reads > 0 || r->writes > 0;
	}
	qsort(v->range, v->n_ranges, sizeof(v->range[0]), by_exits);
}

static double rate(const struct view *v, const char *group, const char *name)
{
	return came(get(v->a, group, name), get(v->b, group, name)) / v->seconds;
}

static double percent(const struct view *v, const char *name)
{
	return rate(v, "cpu_ns", name) / 1e7;
}

static const char *const exit_names[] = { "pio_read", "pio_write",    "mmio_read", "mmio_write",
					  "signal",   "triple_fault", "other",     "unclaimed" };
#define N_EXITS (sizeof(exit_names) / sizeof(exit_names[0]))

/* Disk n's number: how it stands, or what came a second. */
static double disk(const struct view *v, unsigned n, const char *name, bool level)
{
	const struct sample *s[2] = { v->a, v->b };
	double x[2];

	for (unsigned i = 0; i < 2; i++) {
		const struct json_node *a = json_get(s[i]->text, s[i]->node, "disks"),
				       *d = json_first(a);

		for (unsigned k = 0; d && k < n; k++)
			d = json_next(a, d);
		x[i] = json_number(json_get(s[i]->text, d, name));
	}
	return level ? x[1] : came(x[0], x[1]) / v->seconds;
}

static unsigned n_disks(const struct view *v)
{
	const struct json_node *a = json_get(v->b->text, v->b->node, "disks"), *n;
	unsigned k = 0;

	for (n = json_first(a); n; n = json_next(a, n))
		k++;
	return k;
}

static void print_json(const struct view *v, FILE *f)
{
	char name[CONTROL_NAME_MAX + 1];

	json_copy(v->b->text, json_get(v->b->text, v->b->node, "name"), name, sizeof(name));
	fprintf(f,
		"{\"version\": 1, \"name\": \"%s\", \"pid\": %.0f, \"uptime_s\": %.3f, \"interval_s\": %.3f, ",
		name, get(v->b, NULL, "pid"), get(v->b, NULL, "wall_ns") / 1e9, v->seconds);
	fprintf(f, "\"vcpus\": %.0f, \"exits_per_s\": {", get(v->b, NULL, "vcpus"));
	for (unsigned i = 0; i < N_EXITS; i++)
		fprintf(f, "%s\"%s\": %.1f", i ? ", " : "", exit_names[i],
			rate(v, "guest_exits", exit_names[i]));
	fprintf(f,
		"}, \"reflection\": {\"per_s\": %.1f, \"median_ns\": %.0f, \"p99_ns\": %.0f}, "
		"\"shadowed_per_s\": %.1f, \"posted_per_s\": %.1f, \"doorbells_per_s\": %.1f, "
		"\"companion_exits_per_s\": %.1f, ",
		v->all.requests, v->all.median_ns, v->all.p99_ns, v->shadowed,
		rate(v, "fast", "posted"), rate(v, "fast", "doorbells"),
		rate(v, NULL, "companion_exits"));
	fprintf(f,
		"\"cpu_percent\": {\"guest\": %.1f, \"companion\": %.1f, \"host\": %.1f}, \"models\": [",
		percent(v, "guest"), percent(v, "companion"), percent(v, "host"));
	for (unsigned i = 0; i < v->n_rows; i++) {
		const struct row *r = &v->row[i];

		fprintf(f,
			"%s{\"model\": \"%s\", \"home\": \"%s\", \"per_s\": %.1f, \"bytes_per_s\": %.1f, "
			"\"median_ns\": %.0f, \"p99_ns\": %.0f, \"shadowed_per_s\": %.1f}",
			i ? ", " : "", r->name, r->home, r->l.requests, r->bytes, r->l.median_ns,
			r->l.p99_ns, r->shadowed);
	}
	fprintf(f, "], \"ranges\": [");
	for (unsigned i = 0; i < v->n_ranges; i++) {
		const struct range *r = &v->range[i];

		fprintf(f,
			"%s{\"space\": \"%s\", \"base\": %.0f, \"len\": %.0f, \"models\": \"%s\", "
			"\"home\": \"%s\", \"reads_per_s\": %.1f, \"writes_per_s\": %.1f}",
			i ? ", " : "", r->space, r->base, r->len, r->models, r->home, r->reads,
			r->writes);
	}
	fprintf(f, "], \"disks\": [");
	for (unsigned i = 0; i < n_disks(v); i++)
		fprintf(f,
			"%s{\"in_flight\": %.0f, \"reads_per_s\": %.1f, \"writes_per_s\": %.1f, "
			"\"flushes_per_s\": %.1f, \"bytes_read_per_s\": %.1f, \"bytes_written_per_s\": %.1f}",
			i ? ", " : "", disk(v, i, "in_flight", true), disk(v, i, "reads", false),
			disk(v, i, "writes", false), disk(v, i, "flushes", false),
			disk(v, i, "bytes_read", false), disk(v, i, "bytes_written", false));
	fprintf(f, "]}\n");
}

/* In at most rows lines; 0: no limit. */
static void print_text(const struct view *v, FILE *f, unsigned rows)
{
	char name[CONTROL_NAME_MAX + 1];
	unsigned long long up = (unsigned long long)(get(v->b, NULL, "wall_ns") / 1e9);
	unsigned lines = 9 + n_disks(v), room;

	json_copy(v->b->text, json_get(v->b->text, v->b->node, "name"), name, sizeof(name));
	fprintf(f, "%s: pid %.0f, %.0f vCPU%s, up %llu:%02llu:%02llu, last %.1f s\n", name,
		get(v->b, NULL, "pid"), get(v->b, NULL, "vcpus"),
		get(v->b, NULL, "vcpus") > 1 ? "s" : "", up / 3600, up / 60 % 60, up % 60,
		v->seconds);
	fprintf(f, "cpu      guest %.1f%%  companion %.1f%%  host %.1f%%\n", percent(v, "guest"),
		percent(v, "companion"), percent(v, "host"));
	fprintf(f, "exits/s ");
	for (unsigned i = 0; i < N_EXITS; i++)
		fprintf(f, "%s%s %.0f", i ? "  " : " ", exit_names[i],
			rate(v, "guest_exits", exit_names[i]));
	fprintf(f, "\nfast/s   shadowed %.0f  posted %.0f  doorbells %.0f\n", v->shadowed,
		rate(v, "fast", "posted"), rate(v, "fast", "doorbells"));
	fprintf(f, "latency  median %.1f us  p99 %.1f us  of %.0f reflected/s\n",
		v->all.median_ns / 1e3, v->all.p99_ns / 1e3, v->all.requests);
	for (unsigned i = 0; i < n_disks(v); i++)
		fprintf(f,
			"disk %u   in flight %.0f  reads/s %.0f  writes/s %.0f  read %.2f MB/s  written %.2f MB/s\n",
			i, disk(v, i, "in_flight", true), disk(v, i, "reads", false),
			disk(v, i, "writes", false), disk(v, i, "bytes_read", false) / 1e6,
			disk(v, i, "bytes_written", false) / 1e6);
	fprintf(f, "\n%-20s %-10s %12s %12s %12s %12s\n", "MODEL", "HOME", "reflected/s",
		"shadowed/s", "median us", "p99 us");
	for (unsigned i = 0; i < v->n_rows && (!rows || lines + 1 < rows); i++, lines++) {
		const struct row *r = &v->row[i];

		fprintf(f, "%-20s %-10s %12.0f %12.0f %12.1f %12.1f\n", r->name, r->home,
			r->l.requests, r->shadowed, r->l.median_ns / 1e3, r->l.p99_ns / 1e3);
	}
	room = !rows ? 10 : rows > lines ? rows - lines : 0;
	fprintf(f, "\n%-20s %-10s %12s %12s  %s\n", "RANGE", "HOME", "reads/s", "writes/s",
		"MODELS");
	for (unsigned i = 0; i < v->n_ranges && i < room; i++) {
		const struct range *r = &v->range[i];
		char range[40];

		snprintf(range, sizeof(range), *r->space == 'p' ? "%04llx-%04llx" : "%08llx-%08llx",
			 (unsigned long long)r->base, (unsigned long long)(r->base + r->len - 1));
		fprintf(f, "%-20s %-10s %12.0f %12.0f  %s\n", range, *r->home ? r->home : "-",
			r->reads, r->writes, *r->models ? r->models : "-");
	}
}

static void show(const struct sample *a, const struct sample *b, const struct stat_opts *o)
{
	static struct view v;
	struct winsize w = { 0 };
	bool terminal = isatty(1);

	v = (struct view){ .a = a, .b = b };
	v.seconds = came(get(a, NULL, "wall_ns"), get(b, NULL, "wall_ns")) / 1e9;
	if (v.seconds <= 0)
		return;
	view_models(&v);
	view_ranges(&v);
	if (o->json) {
		print_json(&v, stdout);
	} else {
		if (terminal && ioctl(1, TIOCGWINSZ, &w) < 0)
			w.ws_row = 0;
		if (terminal) /* home, and nothing below */
			fputs("\033[H\033[J", stdout);
		print_text(&v, stdout, terminal ? w.ws_row : 0);
		if (!terminal && o->count != 1)
			putchar('\n');
	}
	fflush(stdout);
}

/* Which one. */

struct found {
	char name[CONTROL_NAME_MAX + 1];
	pid_t pid;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

/* All that run; what no one listens at any more goes. */
static unsigned find_all(int dir, struct found *f)
{
	int fd = dup(dir);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	unsigned n = 0;

	while (d && n < DOMAINS_MAX && (e = readdir(d))) {
		size_t len = strlen(e->d_name);
		int s;

		if (len < 6 || len > CONTROL_NAME_MAX + 5 || strcmp(e->d_name + len - 5, ".sock"))
			continue;
		memcpy(f[n].name, e->d_name, len - 5);
		f[n].name[len - 5] = 0;
		s = control_connect(dir, f[n].name, &f[n].pid);
		if (s >= 0)
			close(s);
		n += s >= 0;
	}
	if (d)
		closedir(d);
	qsort(f, n, sizeof(*f), by_name);
	return n;
}

/* Its name; NULL after saying why not, or with *status 0 after listing all. */
static const char *choose(int dir, const char *who, int *status)
{
	static struct found f[DOMAINS_MAX];
	unsigned n = find_all(dir, f);

	*status = 1;
	for (unsigned i = 0; who && i < n; i++)
		if (strcmp(f[i].name, who) == 0)
			return f[i].name;
	for (unsigned i = 0; who && i < n; i++) {
		char pid[16];

		snprintf(pid, sizeof(pid), "%d", (int)f[i].pid);
		if (strcmp(pid, who) == 0)
			return f[i].name;
	}
	if (who) {
		msg("no domain %s runs (`selfio stat' lists yours)", who);
		return NULL;
	}
	if (n == 0) {
		msg("no domain of yours runs");
		return NULL;
	}
	if (n == 1)
		return f[0].name;
	*status = 0;
	printf("%-32s %s\n", "NAME", "PID");
	for (unsigned i = 0; i < n; i++)
		printf("%-32s %d\n", f[i].name, (int)f[i].pid);
	return NULL;
}

static int watch(int dir, const char *name, const struct stat_opts *o)
{
	struct timespec next;
	struct sample a, b;
	unsigned long shown = 0;

	if (sample_take(dir, name, &a)) {
		msg("domain %s does not answer", name);
		return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &next);
	while (!o->count || shown < o->count) {
		time_t whole = (time_t)o->interval;

		next.tv_sec += whole;
		next.tv_nsec += (long)((o->interval - (double)whole) * 1e9);
		if (next.tv_nsec >= 1000000000) {
			next.tv_nsec -= 1000000000;
			next.tv_sec++;
		}
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
			;
		if (sample_take(dir, name, &b)) {
			msg("domain %s ended", name);
			break;
		}
		show(&a, &b, o);
		shown++;
		sample_free(&a);
		a = b;
	}
	sample_free(&a);
	return shown ? 0 : 1;
}

static int bad(const char *what, const char *arg)
{
	msg("%s%s (selfio stat --help lists the options)", what, arg);
	return 2;
}

int stat_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "interval", 1, NULL, 'i' }, { "count", 1, NULL, 'c' }, { "once", 0, NULL, 'o' },
		{ "json", 0, NULL, 'j' },     { "help", 0, NULL, 'h' },  { NULL, 0, NULL, 0 }
	};
	struct stat_opts o = { .interval = 1 };
	char path[512], *end;
	const char *name;
	int c, dir, status;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1)
		switch (c) {
		case 'i':
			o.interval = strtod(optarg, &end);
			if (end == optarg || *end || !(o.interval >= 0.1 && o.interval <= 3600))
				return bad("--interval: give 0.1 to 3600 seconds, not ", optarg);
			break;
		case 'c':
			o.count = strtoul(optarg, &end, 10);
			if (end == optarg || *end || *optarg == '-' || !o.count)
				return bad("--count: give a number of intervals, not ", optarg);
			break;
		case 'o': o.count = 1; break;
		case 'j': o.json = true; break;
		case 'h': fputs(usage_text, stdout); return 0;
		case ':': return bad("a value is missing: ", argv[optind - 1]);
		default: return bad("unknown option ", argv[optind - 1]);
		}
	o.who = argv[optind];
	if (o.who && argv[optind + 1])
		return bad("unexpected argument ", argv[optind + 1]);
	dir = control_dir(false, path, sizeof(path));
	if (dir < 0 && errno == ENOENT) {
		msg("no domain of yours runs");
		return 1;
	}
	if (dir < 0)
		return fail_errno("can't look into %s", path), 1;
	name = choose(dir, o.who, &status);
	return name ? watch(dir, name, &o) : status;
}
