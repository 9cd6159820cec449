/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a picture says of faults. Fails only without memory (NULL). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/picture.h"

/* "; 1 message lost, 12 B"; "" if it lost none. */
static void lost_text(const struct graph_fault *fault, char *buf, size_t size)
{
	char count[BYTES_TEXT], bytes[BYTES_TEXT];

	*buf = '\0';
	if (fault->lost_messages)
		snprintf(buf, size, "; %s message%s lost, %s", count_text(fault->lost_messages, count),
			 fault->lost_messages == 1 ? "" : "s", bytes_text(fault->lost_bytes, bytes));
}

static enum overlay_side fault_side(const struct picture *p, const struct graph_fault *fault)
{
	return p->overlay ? p->overlay->faults[fault - p->g->faults].side : OVERLAY_BOTH;
}

const char *tell_name(const struct picture *p, const struct graph_fault *fault, char buf[TELL_NAME])
{
	uint32_t id = p->overlay ? p->overlay->faults[fault - p->g->faults].id : fault->id;

	if (fault_side(p, fault) == OVERLAY_REMOVED)
		snprintf(buf, TELL_NAME, "fault %" PRIu32 " of run %" PRIu64, id, p->options->runs[0]);
	else
		snprintf(buf, TELL_NAME, "fault %" PRIu32, id);
	return buf;
}

char *tell_line(const struct picture *p, const struct graph_fault *fault)
{
	const char *sign = overlay_side_sign(fault_side(p, fault));
	char lost[3 * BYTES_TEXT], name[TELL_NAME], *text = NULL;

	lost_text(fault, lost, sizeof(lost));
	if (asprintf(&text, "%s%s%s: %s: %s%s", sign, *sign ? " " : "", tell_name(p, fault, name), *fault->text ? fault->text : "?",
		     graph_fault_words(fault), lost) < 0)
		return NULL;
	return text;
}

void tell_caption(const struct picture *p, const struct event *event, bool alone, char *buf, size_t size)
{
	const struct graph_fault *fault = graph_fault_find(p->g, (uint32_t)event->value);
	bool dry = event->kind == EVENT_FIRED && !fault->acts;
	const char *word = dry ? "would fire" : event_kind_name(event->kind);
	char name[TELL_NAME];

	tell_name(p, fault, name);
	if (alone) /* across the whole picture: there is room */
		snprintf(buf, size, "%s %s: %s", name, word, text_or(fault->text, "?"));
	else if (event->kind == EVENT_FIRED)
		snprintf(buf, size, "%s%s: %s", name, dry ? " would fire" : "",
			 fault_kind_name(fault->kind));
	else
		snprintf(buf, size, "%s %s", name, word);
}

static void tip_hits(FILE *f, const char *what, uint64_t messages, uint64_t bytes, uint64_t packets)
{
	char text[BYTES_TEXT];

	if (messages || bytes || packets)
		fprintf(f, "\n%s: %" PRIu64 " messages, %s, %" PRIu64 " packets", what, messages,
			bytes_text(bytes, text), packets);
}

void tell_tip(const struct picture *p, FILE *f, const struct event *event)
{
	const struct graph_fault *fault = graph_fault_find(p->g, (uint32_t)event->value);
	const struct fault_receipt *receipt = fault->receipt;
	char *line = tell_line(p, fault);

	fprintf(f, "%s", line ? line : "a fault");
	free(line);
	if (!receipt)
		return;
	if (receipt->effect_ns)
		fprintf(f, "\nin effect %.3f ms after its trigger", receipt->effect_ns / 1e6);
	tip_hits(f, "it hit", receipt->messages, receipt->bytes, receipt->packets);
	tip_hits(f, "beside", receipt->collateral_messages, receipt->collateral_bytes, receipt->collateral_packets);
	if (receipt->lateness_ns)
		fprintf(f, "\n%.3f ms later than asked", receipt->lateness_ns / 1e6);
	if (receipt->why && *receipt->why)
		fprintf(f, "\n%s", receipt->why);
}

bool tell_paused(const struct picture *p, const struct item *item)
{
	const struct event *event = item->vertex == NO_VERTEX ? NULL : item_event(p, item);
	const struct graph_fault *fault;

	if (!event || event->kind != EVENT_FIRED)
		return false;
	fault = graph_fault_find(p->g, (uint32_t)event->value);
	return fault->acts && fault->kind == FAULT_PAUSE;
}
