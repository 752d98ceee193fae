/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console.h - virtio console device (virtio 1.2, section 5.3) over what the host has.
 *
 *   stdio      standard input and output.  A terminal is made raw, and restored at exit and at fatal
 *              signals; there, Ctrl-A x quits and Ctrl-A a sends a Ctrl-A.  Input that isn't a
 *              terminal is passed on as it is.
 *   file:PATH  output to a file (created, truncated), no input
 *   pty        a new pseudo-terminal; says which.  Output with no one at its other end is dropped.
 *   unix:PATH  a listening socket, one peer at a time.  Output without a peer is dropped.
 *   null       nothing comes, all goes
 *
 * Output never blocks: what a pipe or terminal doesn't take stays in the driver's buffers until it
 * does (console_ready() goes on), so the domain waits and no byte is lost.  SIGPIPE is ignored from
 * console_open() on, unless it has a handler.  file: and unix: create their files in console_open(): call
 * it when all else has been checked.
 *
 * Threads: console_ready() belongs to the I/O thread.  Locks: vmmio.lock alone.
 */
#ifndef BACKENDS_CONSOLE_H
#define BACKENDS_CONSOLE_H

#include <stddef.h>
#include <stdint.h>

#include "backends/virtio_mmio.h"

struct console_dev;

/* spec as above.  NULL: err holds one line. */
struct console_dev *console_open(const char *spec, char *err, size_t errlen);
/* Makes it a device; once, before the first access.  quit: Ctrl-A x was typed (called by
 * console_ready(), no lock held). */
void console_attach(struct console_dev *c, const struct vmmio_host *host, unsigned window,
		    void (*quit)(void *ctx), void *quit_ctx);
struct vmmio *console_vmmio(struct console_dev *c);
/* What the device is, for the user: "pty: /dev/pts/3"; empty if there is nothing to say. */
const char *console_where(const struct console_dev *c);
/* An epoll descriptor, readable when console_ready() has something to do. */
int console_fd(struct console_dev *c);
void console_ready(struct console_dev *c);
/* At the end, with no driver running: tries for up to ms milliseconds to write what is left. */
void console_drain(struct console_dev *c, unsigned ms);
/* Restores the terminal; async-signal-safe, harmless when there is none. */
void console_tty_restore(void);
void console_close(struct console_dev *c);

#endif
