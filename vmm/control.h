/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.h - the control socket of a running domain (docs/control.md): where it is, and its server.
 *
 * The server is the control thread's: it blocks nowhere, and what a peer can make it hold or do is bounded.
 */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

#define CONTROL_NAME_MAX 64u
#define CONTROL_PEERS    16u
#define CONTROL_FDS      (1u + CONTROL_PEERS)

struct domain;
struct control;

/* Letters, digits, '.', '_', '-', not first one of the last two, and not a number. */
bool control_name_ok(const char *name);

/* The folder of the sockets, only our user's: its descriptor, or -1 with errno set; path has its name in
 * both cases.  create: it is made if it is not there. */
int control_dir(bool create, char *path, size_t room);
/* Connects to NAME.sock there, without waiting; -1 with errno set.  One without a process behind it is
 * removed.  *pid: who listens. */
int control_connect(int dir, const char *name, pid_t *pid);

/* NULL after a warning: the domain runs without. */
struct control *control_open(struct domain *d);
/* For poll(): CONTROL_FDS entries, and for how long at most (ms) if that is less than *timeout. */
void control_prepare(struct control *c, struct pollfd *p, int *timeout);
void control_serve(struct control *c, const struct pollfd *p);
void control_close(struct control *c); /* NULL is fine */

#endif
