/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flushlog - what the guest was told is flushed must be in the image.
 *
 *   flushlog [--seed S] [--slots N] [--count N] [--buffered] DEVICE       in the guest
 *   flushlog --check CONSOLE_LOG IMAGE [--min N]                          on the host
 *
 * In the guest, for ever or --count times: writes one to eight records of a sector at pseudo-random
 * slots, fdatasync()s the device, and prints "ACK SEQ CHECK" on the console with one write.  ACK n
 * means that records 1..n are on stable storage.  The host kills the machine at any moment.
 *
 * On the host: the log's last "FLUSHLOG START" line tells seed and slots.  For each slot the newest
 * acknowledged record must be there, or a newer one of the same run that belongs there (records after
 * the last ACK may or may not have been written).  Lines of the log that are cut or mixed with kernel
 * messages do not count as acknowledged.  Each run needs a seed of its own, so that records of an
 * earlier run on the same image are not taken for this run's.
 *
 * Status of --check: 0 all there, 1 a record is lost or torn, 2 wrong use or fewer than N (1)
 * acknowledged records.
 */
#define _GNU_SOURCE
#include "guest.h"

#define MAX_BATCH 8
#define MAGIC     0x474f4c4853554c46ull /* "FLUSHLOG" */

static uint64_t slot_of(uint64_t seed, uint64_t seq, uint64_t slots)
{
	return mix64(mix64(seed) ^ seq) % slots;
}

static unsigned batch_at(uint64_t seed, uint64_t seq)
{
	return 1 + (unsigned)(mix64(mix64(seed + 1) ^ seq) % MAX_BATCH);
}

static uint16_t ack_check(uint64_t seed, uint64_t seq)
{
	return (uint16_t)mix64(mix64(seed + 2) ^ seq);
}

static void make_record(uint64_t seed, uint64_t seq, uint64_t slot, uint64_t *to)
{
	to[0] = MAGIC;
	to[1] = seed;
	to[2] = seq;
	to[3] = slot;
	for (unsigned i = 4; i < SECTOR / 8; i++)
		to[i] = mix64(mix64(seed) + mix64(seq) + i);
}

static void say(const char *text)
{
	size_t len = strlen(text);

	if (write(1, text, len) != (ssize_t)len)
		exit(1);
}

static int record(uint64_t seed, uint64_t slots, uint64_t count, bool direct, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : 0));
	uint64_t *buf = page_alloc(4096);
	uint64_t size, seq = 0;
	char line[160];

	if (fd < 0)
		die("flushlog: %s: %s", path, strerror(errno));
	size = size_of(fd, path);
	if (!slots || slots > size / SECTOR)
		slots = size / SECTOR;
	snprintf(line, sizeof(line), "\nFLUSHLOG START seed=%llu slots=%llu dev=%s\n",
		 (unsigned long long)seed, (unsigned long long)slots, path);
	say(line);
	while (!count || seq < count) {
		for (unsigned n = batch_at(seed, seq + 1); n; n--) {
			uint64_t slot = slot_of(seed, ++seq, slots);

			make_record(seed, seq, slot, buf);
			if (pwrite(fd, buf, SECTOR, (off_t)(slot * SECTOR)) != (ssize_t)SECTOR) {
				snprintf(line, sizeof(line), "\nFLUSHLOG ERROR write %llu: %s\n",
					 (unsigned long long)seq, strerror(errno));
				say(line);
				return 1;
			}
		}
		if (fdatasync(fd)) {
			snprintf(line, sizeof(line), "\nFLUSHLOG ERROR flush %llu: %s\n",
				 (unsigned long long)seq, strerror(errno));
			say(line);
			return 1;
		}
		snprintf(line, sizeof(line), "ACK %llu %04x\n", (unsigned long long)seq,
			 ack_check(seed, seq));
		say(line);
	}
	say("FLUSHLOG END\n");
	return 0;
}

/* The log's last start line and the highest acknowledged number after it. */
static uint64_t read_log(const char *path, uint64_t *seed, uint64_t *slots)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	uint64_t acked = 0;
	bool started = false;

	if (!f)
		die("flushlog: %s: %s", path, strerror(errno));
	while (getline(&line, &cap, f) > 0) {
		unsigned long long a, b;
		unsigned check;
		int end = 0;
		char *p = strstr(line, "FLUSHLOG START ");

		if (!strchr(line, '\n'))
			break; /* cut by the kill: it may lack its last digits */
		if (p && sscanf(p, "FLUSHLOG START seed=%llu slots=%llu", &a, &b) == 2) {
			*seed = a;
			*slots = b;
			acked = 0;
			started = true;
		} else if (started && sscanf(line, "ACK %llu %4x%n", &a, &check, &end) == 2 &&
			   (line[end] == '\r' || line[end] == '\n') &&
			   check == ack_check(*seed, a) && a > acked) {
			acked = a;
		}
	}
	free(line);
	fclose(f);
	if (!started || !*slots)
		die("flushlog: %s: no FLUSHLOG START line", path);
	return acked;
}

static int check(const char *log, const char *image, uint64_t min)
{
	uint64_t seed = 0, slots = 0, acked, size, lost = 0, used = 0, newest = 0;
	uint64_t got[SECTOR / 8], want[SECTOR / 8];
	uint64_t *last;
	int fd;

	acked = read_log(log, &seed, &slots);
	fd = open(image, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("flushlog: %s: %s", image, strerror(errno));
	size = size_of(fd, image);
	if (slots > size / SECTOR)
		die("flushlog: %s has fewer than the log's %llu slots", image,
		    (unsigned long long)slots);
	last = calloc(slots, sizeof(*last));
	if (!last)
		die("flushlog: out of memory");
	for (uint64_t seq = 1; seq <= acked; seq++)
		last[slot_of(seed, seq, slots)] = seq;
	for (uint64_t s = 0; s < slots; s++) {
		if (pread(fd, got, SECTOR, (off_t)(s * SECTOR)) != (ssize_t)SECTOR)
			die("flushlog: %s: cannot read slot %llu", image, (unsigned long long)s);
		if (got[0] == MAGIC && got[1] == seed && got[2] > newest)
			newest = got[2];
		if (!last[s])
			continue;
		used++;
		make_record(seed, got[2], s, want);
		if (memcmp(got, want, SECTOR) || got[2] < last[s] ||
		    slot_of(seed, got[2], slots) != s) {
			if (lost++ < 10)
				printf("flushlog: slot %llu: record %llu was acknowledged, "
				       "the image has %s %llu\n",
				       (unsigned long long)s, (unsigned long long)last[s],
				       got[0] == MAGIC && got[1] == seed ? "record" : "a foreign",
				       (unsigned long long)got[2]);
		}
	}
	free(last);
	close(fd);
	printf("flushlog: %llu records acknowledged in %llu slots, newest in the image %llu: "
	       "%llu lost\n",
	       (unsigned long long)acked, (unsigned long long)used, (unsigned long long)newest,
	       (unsigned long long)lost);
	if (lost)
		return 1;
	return acked < min ? 2 : 0;
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, slots = 0, count = 0, min = 1;
	const char *log = NULL, *disk = NULL;
	bool direct = true;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = number("--seed", argv[++i]);
		else if (!strcmp(argv[i], "--slots") && i + 1 < argc)
			slots = number("--slots", argv[++i]);
		else if (!strcmp(argv[i], "--count") && i + 1 < argc)
			count = number("--count", argv[++i]);
		else if (!strcmp(argv[i], "--min") && i + 1 < argc)
			min = number("--min", argv[++i]);
		else if (!strcmp(argv[i], "--check") && i + 1 < argc)
			log = argv[++i];
		else if (!strcmp(argv[i], "--buffered"))
			direct = false;
		else if (argv[i][0] == '-' || disk)
			die("usage: flushlog [--seed S] [--slots N] [--count N] [--buffered] DEVICE\n"
			    "       flushlog --check CONSOLE_LOG IMAGE [--min N]");
		else
			disk = argv[i];
	}
	if (!disk)
		die("flushlog: which disk?");
	return log ? check(log, disk, min) : record(seed, slots, count, direct, disk);
}
