/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "collector/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/clock.h"

void progress_init(struct progress *progress, uint64_t run, uint64_t now)
{
	*progress = (struct progress){ .terminal = isatty(STDERR_FILENO), .run = run, .started_ns = now };
}

void progress_show(struct progress *progress, const char *phase, uint64_t now)
{
	double seconds = (double)(now - progress->started_ns) / CLOCK_SECOND_NS;

	if (!progress->terminal || seconds < 1)
		return;
	fprintf(stderr, "\r\033[Krun %llu: %s, %.0f s, %llu events", (unsigned long long)progress->run, phase, seconds,
		(unsigned long long)progress->events);
	fflush(stderr);
	progress->shown = true;
}

void progress_clear(struct progress *progress)
{
	if (progress->shown)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}
