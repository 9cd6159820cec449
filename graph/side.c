/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a picture of two runs says of their differences: signs, words, inks. Fails only without memory (NULL). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/picture.h"

#define LABEL_MAX 320
#define CAUSE_MAX (DIFF_CAUSE_MAX + 24)
#define SENTENCES_MAX 12u /* of a block */

const char *side_words(const struct picture *p, enum overlay_side side, char buf[SIDE_WORDS])
{
	*buf = '\0';
	if (side == OVERLAY_ADDED || side == OVERLAY_REMOVED)
		snprintf(buf, SIDE_WORDS, "only in run %" PRIu64, p->options->runs[side == OVERLAY_ADDED]);
	return buf;
}

enum ink side_ink(const struct picture *p, enum overlay_side side, enum ink ink)
{
	if (!p->overlay || ink == INK_FAULT || ink == INK_FAIL)
		return ink;
	switch (side) {
	case OVERLAY_ADDED:
		return INK_ADDED;
	case OVERLAY_REMOVED:
		return INK_REMOVED;
	case OVERLAY_MOVED:
	case OVERLAY_GHOST:
	case OVERLAY_CHANGED:
		return INK_MOVED;
	case OVERLAY_BOTH:
	case OVERLAY_SIDE_COUNT:
		break;
	}
	return ink == INK_REQUEST || ink == INK_REPLY ? INK_MUTED : ink;
}

static const struct overlay_vertex *vertex_of(const struct picture *p, const struct item *item)
{
	return item->vertex == NO_VERTEX ? NULL : &p->overlay->vertices[item->vertex];
}

static const struct diff_change *change_of(const struct picture *p, const struct overlay_vertex *v, uint32_t i)
{
	return &p->overlay->diff->changes[p->overlay->notes[v->first_note + i].change];
}

/* As diff_cause_text(), but with the number of the run. */
static void cause_words(const struct picture *p, const struct diff_change *change, char *buf, size_t size)
{
	char text[DIFF_CAUSE_MAX], *other;

	diff_cause_text(change, text);
	other = strstr(text, " of the other run");
	if (other)
		snprintf(buf, size, "%.*s of run %" PRIu64 "%s", (int)(other - text), text, p->options->runs[0],
			 other + strlen(" of the other run"));
	else
		snprintf(buf, size, "%s", text);
}

/* " (after fault 1)"; not of a fault that is named already: that it took the message itself, or killed the process. */
static void cause_text(const struct picture *p, const struct overlay_vertex *v, const char *caption, char *buf, size_t size)
{
	char cause[CAUSE_MAX];

	*buf = '\0';
	for (uint32_t i = 0; v && i < v->n_notes && !*buf; i++) {
		const struct diff_change *change = change_of(p, v, i);

		cause_words(p, change, cause, sizeof(cause));
		if (*cause && (change->cause != DIFF_BY_FAULT || !diff_names_fault(caption, change->fault)))
			snprintf(buf, size, " (%s)", cause);
	}
}

size_t side_explained(const struct picture *p, uint32_t index, const char *caption, enum ink *ret_ink)
{
	const struct node *node = &p->nodes[index];
	const struct overlay_vertex *v = p->overlay && !node->block ? vertex_of(p, &p->items[node->item]) : NULL;
	char cause[CAUSE_MAX + 4];
	size_t length = strlen(caption), size;

	*ret_ink = INK_FAULT;
	if (!v || !v->n_notes)
		return length;
	cause_text(p, v, "", cause, sizeof(cause));
	size = strlen(cause);
	if (!size || size >= length || strcmp(caption + length - size, cause) != 0)
		return length;
	if (strstr(cause, "were lost"))
		*ret_ink = INK_FAIL;
	return length - size;
}

static void before_connect(const struct picture *p, const struct event *event, char *buf, size_t size)
{
	const struct trace *trace = p->overlay->graphs[0]->trace;
	const struct trace_end *end = event->end && event->end <= trace->n_ends ? &trace->ends[event->end] : NULL;
	int64_t error = event->value < 0 && event->value != -EINPROGRESS ? event->value : end ? end->error : 0;

	if (error < 0)
		snprintf(buf, size, "%s", errno_text(error));
	else
		snprintf(buf, size, "%s", end && !end->keyed ? "no answer" : "made");
}

/* "; in run 1: exit 0": what it came to there. That a message was received there shows its arrow. */
static void before_text(const struct picture *p, const struct overlay_vertex *v, char *buf, size_t size)
{
	const struct graph *g = p->overlay->graphs[0];
	const struct event *event;
	char what[64] = "";

	*buf = '\0';
	if (v->vertex[0] == DIFF_NONE)
		return; /* its record is lost */
	event = &g->trace->events[g->vertices[v->vertex[0]].event];
	if (event->kind == EVENT_EXIT)
		exit_text(event->value, what, sizeof(what));
	else if (event->kind == EVENT_CONNECT)
		before_connect(p, event, what, sizeof(what));
	if (*what)
		snprintf(buf, size, "; in run %" PRIu64 ": %s", p->options->runs[0], what);
}

/* What stood here. */
static char *ghost_caption(const struct picture *p, const struct overlay_vertex *v)
{
	const struct graph *g = p->overlay->graphs[0];
	uint32_t n = v->n_notes ? change_of(p, v, 0)->n[0] : 1;
	char label[LABEL_MAX], more[48] = "", *text = NULL;

	if (v->message[0] != DIFF_NONE)
		graph_message_label(g, v->message[0], label, sizeof(label));
	else
		graph_vertex_label(g, v->vertex[0], label, sizeof(label));
	if (n > 1)
		snprintf(more, sizeof(more), ", and %" PRIu32 " more", n - 1);
	if (asprintf(&text, "%s from here: %s %s%s", overlay_side_sign(OVERLAY_GHOST),
		     event_kind_name(g->trace->events[g->vertices[v->vertex[0]].event].kind), label, more) < 0)
		return NULL;
	return text;
}

char *side_caption(const struct picture *p, uint32_t index, char *caption)
{
	const struct node *node = &p->nodes[index];
	const struct overlay_vertex *v = node->block ? NULL : vertex_of(p, &p->items[node->item]);
	const char *sign = overlay_side_sign(node->side == OVERLAY_SIDE_COUNT ? OVERLAY_BOTH : node->side);
	char cause[CAUSE_MAX + 4], before[96] = "", *text = NULL;

	if (v && v->side == OVERLAY_GHOST) {
		free(caption);
		return ghost_caption(p, v);
	}
	if (!*sign || !*caption)
		return caption;
	cause_text(p, v, caption, cause, sizeof(cause));
	if (v && v->side == OVERLAY_CHANGED)
		before_text(p, v, before, sizeof(before));
	if (asprintf(&text, "%s %s%s%s", sign, caption, before, cause) < 0)
		text = NULL;
	free(caption);
	return text;
}

char *side_block(const struct node *node)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (enum overlay_side side = OVERLAY_ADDED; side < OVERLAY_SIDE_COUNT && node->side == OVERLAY_SIDE_COUNT; side++)
		if (node->sides[side] && side != OVERLAY_GHOST)
			fprintf(out, "%s%s%" PRIu32, ftell(out) ? ", " : "in it: ", overlay_side_sign(side), node->sides[side]);
	return fclose(out) ? free(text), NULL : text;
}

static void tip_vertex(const struct picture *p, FILE *f, const struct overlay_vertex *v)
{
	const struct overlay *o = p->overlay;
	char words[SIDE_WORDS], cause[CAUSE_MAX], labels[2][LABEL_MAX];

	if (*side_words(p, v->side, words))
		fprintf(f, "\n%s", words);
	if (v->message[0] != DIFF_NONE && v->message[1] != DIFF_NONE) {
		for (unsigned side = 0; side < 2; side++)
			graph_message_label(o->graphs[side], v->message[side], labels[side], LABEL_MAX);
		if (strcmp(labels[0], labels[1]) != 0)
			fprintf(f, "\nin run %" PRIu64 ": %s", p->options->runs[0], labels[0]);
	}
	if (!v->n_notes && (v->side == OVERLAY_MOVED || v->side == OVERLAY_GHOST))
		fprintf(f, "\nin another order than in run %" PRIu64 ", as seen by several processes", p->options->runs[0]);
	for (uint32_t i = 0; i < v->n_notes; i++) {
		const struct diff_change *change = change_of(p, v, i);

		cause_words(p, change, cause, sizeof(cause));
		fprintf(f, "\n%s%s%s%s", change->text, *cause ? " (" : "", cause, *cause ? ")" : "");
	}
}

/* The first sentences of what differs in it. */
static void tip_block(const struct picture *p, FILE *f, uint32_t index)
{
	uint32_t left = p->nodes[index].n_items, said = 0, last = UINT32_MAX;

	for (size_t i = p->nodes[index].item; i < p->n_items && left && said < SENTENCES_MAX; i++) {
		const struct overlay_vertex *v = p->items[i].node == index ? vertex_of(p, &p->items[i]) : NULL;

		left -= p->items[i].node == index;
		if (!v || !v->n_notes || p->overlay->notes[v->first_note].change == last)
			continue;
		last = p->overlay->notes[v->first_note].change;
		fprintf(f, "\n%s", change_of(p, v, 0)->text);
		said++;
	}
}

void side_tip(const struct picture *p, FILE *f, uint32_t index)
{
	const struct node *node = &p->nodes[index];
	const struct overlay_vertex *v = vertex_of(p, &p->items[node->item]);
	char words[SIDE_WORDS];

	if (node->block)
		tip_block(p, f, index);
	else if (v)
		tip_vertex(p, f, v);
	else if (*side_words(p, node->side, words))
		fprintf(f, "\n%s", words);
}
