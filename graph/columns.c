/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Columns: where the lanes stand, which depends on how wide the labels between them are. Fails only without memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/layout.h"

#define HEAD_MAX 26 /* columns of a lane's head */
#define GAP_MIN 110.0

/* The first HEAD_MAX columns of a text. */
static char *head_line(const char *text)
{
	char *clean = text_clean(text, false), *cut = NULL;
	size_t length;

	if (!clean || text_columns(clean) <= HEAD_MAX)
		return clean;
	length = strlen(clean);
	while (length && text_columns(clean) > HEAD_MAX - 1) {
		while (length && ((unsigned char)clean[length - 1] & 0xc0) == 0x80)
			length--;
		clean[--length] = '\0';
	}
	if (asprintf(&cut, "%s…", clean) < 0)
		cut = NULL;
	free(clean);
	return cut;
}

/* The name of its file, and its arguments. */
static const char *program_of(const struct trace_process *process)
{
	const char *program = text_or(process->command, ""), *blank = strchr(program, ' ');

	for (const char *slash = strchr(program, '/'); slash && (!blank || slash < blank); slash = strchr(program, '/'))
		program = slash + 1;
	return program;
}

/* The program of all processes of a lane; "" if they differ. */
static const char *lane_program(const struct picture *p, uint32_t lane)
{
	const struct trace *trace = p->g->trace;
	const char *program = NULL;

	for (size_t i = 1; i <= trace->n_processes; i++) {
		if (p->lane_of[i] != lane)
			continue;
		if (program && strcmp(program, program_of(&trace->processes[i])))
			return "";
		program = program_of(&trace->processes[i]);
	}
	return text_or(program, "");
}

/* Name; box, or how many processes; program. */
int layout_heads(struct layout *l)
{
	const struct trace *trace = l->p->g->trace;

	for (uint32_t i = 0; i < l->p->n_lanes; i++) {
		const struct lane *lane = &l->p->lanes[i];
		uint32_t box = trace->processes[lane->process].box;
		const char *sign = overlay_side_sign(lane_side(l->p, lane));
		char text[128] = "", *name = lane_name(l->p, lane), *signed_name = NULL;

		if (!lane->process && lane->parent)
			snprintf(text, sizeof(text), "%u processes%s", lane->n_processes, lane->in_turn ? " in turn" : "");
		else if (lane->process && box && box <= trace->n_boxes && *text_or(trace->boxes[box].name, ""))
			snprintf(text, sizeof(text), "on %s", trace->boxes[box].name);
		if (name && *sign && asprintf(&signed_name, "%s %s", sign, name) > 0) {
			free(name);
			name = signed_name;
			side_words(l->p, lane_side(l->p, lane), text);
		}
		l->heads[3 * i] = name ? head_line(name) : NULL;
		l->heads[3 * i + 1] = head_line(text);
		l->heads[3 * i + 2] = head_line(lane_program(l->p, i));
		free(name);
		if (!l->heads[3 * i] || !l->heads[3 * i + 1] || !l->heads[3 * i + 2])
			return -ENOMEM;
	}
	return 0;
}

static double head_width(const struct layout *l, size_t lane)
{
	double width = text_width(l->heads[3 * lane], FONT_HEAD);

	for (size_t i = 1; i < 3; i++)
		if (width < text_width(l->heads[3 * lane + i], FONT))
			width = text_width(l->heads[3 * lane + i], FONT);
	return width;
}

static void need(double *widths, uint32_t row, uint32_t height, double width)
{
	for (uint32_t i = row; i < row + height; i++)
		if (widths[i] < width)
			widths[i] = width;
}

/* How much room lane k's nodes need on one side, by slot: the one above each row. */
static void side_needs(const struct layout *l, size_t k, bool left, double *widths)
{
	const struct picture *p = l->p;

	for (uint32_t i = 0; i <= l->n_rows; i++)
		widths[i] = 0;
	for (uint32_t n = 0; n < p->n_nodes; n++) {
		const struct node *node = &p->nodes[n];
		const struct place *place = &l->places[n];
		bool one = node->lane_first == node->lane_last;

		if (node->barrier || k < node->lane_first || k > node->lane_last)
			continue;
		if (node->block && one)
			need(widths, node->row, node->height, place->width / 2 + 2 * LABEL_PAD);
		else if (node->block && k == (left ? node->lane_first : node->lane_last))
			need(widths, node->row, node->height, OVERHANG + LABEL_PAD);
		else if (!node->block && place->left == left && place->width > 0)
			need(widths, node->row, is_above(place) ? 1 : 2, LABEL_GAP + place->width + LABEL_PAD);
	}
}

/* The text of a block that ends in lane k must fit between its first lane and there. */
static double block_need(const struct layout *l, size_t k)
{
	const struct picture *p = l->p;
	double most = 0;

	for (uint32_t n = 0; n < p->n_nodes; n++) {
		const struct node *node = &p->nodes[n];
		double width = l->places[n].width + 2 * LABEL_PAD - 2 * OVERHANG;

		if (!node->block || node->barrier || node->lane_last != k || node->lane_first == k)
			continue;
		width -= l->x[k - 1] - l->x[node->lane_first];
		if (most < width)
			most = width;
	}
	return most;
}

/* Nobody did anything that was seen: what concerns everybody stands in the middle of a sheet that is wide enough. */
static void without_lanes(struct layout *l)
{
	double most = 0;

	for (uint32_t n = 0; n < l->p->n_nodes; n++)
		if (most < l->places[n].width)
			most = l->places[n].width;
	l->x[0] = MARGIN + most / 2 + LABEL_PAD;
	l->width = 2 * l->x[0];
}

int layout_columns(struct layout *l)
{
	const struct picture *p = l->p;
	double *right = malloc((l->n_rows + 2) * sizeof(*right)), *left = malloc((l->n_rows + 2) * sizeof(*left));
	int err = right && left ? 0 : -ENOMEM;

	for (size_t k = 0; k < p->n_lanes && !err; k++) {
		double gap = k ? (head_width(l, k - 1) + head_width(l, k)) / 2 + 24 : head_width(l, k) / 2;

		if (k && gap < GAP_MIN)
			gap = GAP_MIN;
		side_needs(l, k, true, left);
		for (uint32_t i = 0; i <= l->n_rows; i++) {
			double both = left[i] + (k ? right[i] : 0);

			if (gap < both)
				gap = both;
		}
		if (k && gap < block_need(l, k))
			gap = block_need(l, k);
		l->x[k] = (k ? l->x[k - 1] : MARGIN) + gap;
		side_needs(l, k, false, right);
	}
	if (!err && p->n_lanes) {
		double most = head_width(l, p->n_lanes - 1) / 2;

		for (uint32_t i = 0; i <= l->n_rows; i++)
			if (most < right[i])
				most = right[i];
		l->width = l->x[p->n_lanes - 1] + most + MARGIN;
	}
	if (!err && !p->n_lanes)
		without_lanes(l);
	free(right);
	free(left);
	return err;
}
