/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The user's wish to stop, as a descriptor: SIGINT, SIGTERM, and SIGHUP unless nohup ignores it. */
#ifndef COLLECTOR_INTERRUPT_H
#define COLLECTOR_INTERRUPT_H

#include <stdint.h>

#include "lib/error.h"

struct interrupt {
	int fd;		   /* readable when there is one; -1: not open */
	unsigned n;	   /* how often the user asked to stop */
	uint64_t last_ns;
};

/* timeout(1) and others signal a process and then its group: what comes within a blink is one wish. */
#define INTERRUPT_BLINK_NS 50000000ull

#define INTERRUPT_NONE { .fd = -1 }

int interrupt_open(struct interrupt *interrupt, struct error *e);
void interrupt_close(struct interrupt *interrupt);
/* Takes what has come. */
void interrupt_read(struct interrupt *interrupt);

#endif
