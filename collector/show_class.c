/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whether a run did something new, for people. See show.h. */
#include <inttypes.h>

#include "collector/show.h"

void show_class_words(const struct store_run *row, char *buf, size_t size)
{
	const char *gone = row->kept || row->running ? "" : ", no events";

	if (!row->class_id || row->running)
		snprintf(buf, size, "%s", *gone ? "no events" : "-");
	else if (row->kept && row->kept != row->id)
		snprintf(buf, size, "repeat of run %" PRIu64, row->kept);
	else
		snprintf(buf, size, "%s%s", row->new_class ? "new" : "not new", gone);
}

void show_events_line(const struct run *run, FILE *out)
{
	if (run->events_of != run->row->id)
		fprintf(out, "  events    run %" PRIu64 " did the same as run %" PRIu64 ", whose events are shown\n", run->row->id,
			run->events_of);
}
