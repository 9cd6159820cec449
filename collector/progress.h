/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One line on a terminal that says how far a run is, once it takes over a second. Nothing where there is no terminal. */
#ifndef COLLECTOR_PROGRESS_H
#define COLLECTOR_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_TICK_NS 250000000ull

struct progress {
	bool terminal, shown;
	uint64_t run, started_ns, events;
};

void progress_init(struct progress *progress, uint64_t run, uint64_t now);
void progress_show(struct progress *progress, const char *phase, uint64_t now);
/* Removes the line; to be called before anything else is printed. */
void progress_clear(struct progress *progress);

#endif
