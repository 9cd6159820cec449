/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Work that takes too long for a loop that others wait for: done in a few threads, one piece each, in the order in which it
 * came. Who gives the work shares nothing with it until it is done. Must not know what the work is.
 */
#ifndef COLLECTOR_WORKER_H
#define COLLECTOR_WORKER_H

#include <stdbool.h>

#include "lib/error.h"

#define WORKER_NAME "bop-worker" /* of the threads */

/* Embedded in what is worked on, which stays where it is until `done`. */
struct worker_job {
	struct worker_job *prev, *next;
	void (*work)(struct worker_job *job); /* in a thread */
	void (*done)(struct worker_job *job); /* in workers_done() */
};

struct workers;

int workers_open(struct workers **ret_workers, struct error *e);
/* Whether they are being closed: what takes long, in whatever thread, asks now and then, and ends if so. */
bool workers_closing(struct workers *workers);
/* Waits for what is being worked on; what is still to be begun is dropped. done is called for none. */
void workers_close(struct workers *workers);

void workers_add(struct workers *workers, struct worker_job *job);

/* Readable when workers_done() has something to do. */
int workers_fd(const struct workers *workers);
/* Calls done of each job that is. */
void workers_done(struct workers *workers);

#endif
