/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * qtest.h - the PC board in this process, with no processor: another program, over QEMU's qtest protocol,
 * plays guest, clock and interrupt controller.
 *
 *   main.c   command line
 *   host.c   what the machine needs: memory, interrupts, reset; the main loop
 *   proto.c  the qtest protocol
 *   qmp.c    the few QMP commands and events that such testers use
 *   disk.c   struct blk over an image file
 *   chan.c   sockets, and struct chr over one
 *
 * One thread.  A request is answered, then what it caused is carried through (disk requests end, a
 * reset takes place) before the next one is looked at: equal scripts give equal runs.
 */
#ifndef QTEST_QTEST_H
#define QTEST_QTEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "boards/pc.h"

#define MAX_DATA (64u << 20) /* bytes in one read or write request */

/* One end of a byte stream: a connected socket, or standard input and output. */
struct chan {
	int in, out; /* -1: there is none */
	bool closed;
	char *buf;
	size_t start, len, cap; /* received and not used up: buf[start..len) */
};

/* Connects to a Unix socket.  0, or -1 with errno set. */
int chan_connect(struct chan *c, const char *path);
/* One read of what is there; sets closed at the end of the stream. */
void chan_fill(struct chan *c);
/* The next whole line, 0-terminated in place of its newline, or NULL.  Valid until chan_fill(). */
char *chan_line(struct chan *c);
/* All of it, waiting for the peer if need be. */
void chan_send(struct chan *c, const char *data, size_t n);

/* A serial port's line. */
struct serial {
	struct chr chr; /* first */
	int fd;         /* -1: nobody there */
	bool in;        /* it can be read from */
	bool full;      /* the model waits until there is room */
	uint8_t buf[64];
	size_t start, len;
};

void serial_init(struct serial *s, int fd, bool in);
/* What poll() should wait for; 0: nothing. */
short serial_events(const struct serial *s);
void serial_ready(struct serial *s, short revents);

struct qtest;

struct disk_opts {
	const char *path; /* NULL: all zeros, writes are forgotten */
	uint64_t size;    /* of such a one, in bytes */
	bool read_only;
	bool snapshot; /* writes do not reach the file */
};

/* 0, or -1 after a message. */
struct disk *disk_open(struct qtest *q, const struct disk_opts *o);
struct blk *disk_blk(struct disk *d);
/* Ends the requests that were submitted before this call; false: there were none. */
bool disk_complete(struct disk *d);
void disk_close(struct disk *d);

struct qtest {
	struct chan proto, qmp;
	FILE *log; /* of the protocol; NULL: off */
	struct serial com;
	struct disk *disk[PC_MAX_DISKS];

	struct machine m;
	struct machine_ops ops;
	struct sio_config cfg;
	struct pc_io io;

	uint8_t *ram; /* cfg.ram[0], then cfg.ram[1] */
	uint8_t *priv;
	size_t priv_used;
	uint8_t *rom; /* ends at 4 GiB */
	uint64_t rom_len;

	bool intercept; /* tell the tester about GSIs */
	bool ready;     /* QMP: capabilities are negotiated */
	bool paused, no_shutdown, no_reboot, started;
	bool want_reset, want_poweroff, guest_reset, quit;
};

/* Prints "selfio-qtest: ..." on standard error. */
void msg(const char *f, ...) __attribute__((format(printf, 1, 2)));

/* host.c */
/* Memory, machine and all, once options are in q.  0, or -1 after a message. */
int host_init(struct qtest *q);
/* Until the tester goes, or the machine does. */
void host_run(struct qtest *q);
/* RAM or private memory of models; NULL unless all of it is one of these. */
void *host_mem(struct qtest *q, uint64_t addr, uint64_t len);
/* A processor's accesses to memory addresses, as many as it takes. */
void host_access(struct qtest *q, uint64_t addr, uint8_t *buf, uint64_t len, bool write);
/* Lets time go on, stopping at each timer; returns now. */
uint64_t host_clock(struct qtest *q, uint64_t to);
#define HOST_NEXT_TIMER UINT64_MAX

/* proto.c */
void proto_request(struct qtest *q, char *line);
void proto_irq(struct qtest *q, unsigned gsi, bool level);
void proto_log(struct qtest *q, char tag, const char *text);

/* qmp.c */
void qmp_greet(struct qtest *q);
void qmp_input(struct qtest *q);
/* data: further members of the event, as JSON, or NULL. */
void qmp_event(struct qtest *q, const char *name, const char *data);

#endif
