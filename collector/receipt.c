/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See receipt.h. Cannot fail. */
#include "collector/receipt.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "collector/json.h"

struct line {
	char *buf;
	size_t size, n;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct line *line, const char *format, ...)
{
	va_list ap;
	int n;

	if (line->n >= line->size)
		return;
	va_start(ap, format);
	n = vsnprintf(line->buf + line->n, line->size - line->n, format, ap);
	va_end(ap);
	line->n += n > 0 ? (size_t)n : 0;
}

/* A new thing to say. */
static void next(struct line *line)
{
	if (line->n)
		add(line, "; ");
}

/* `of`: how many packets were decided about, or 0. */
static void hits_add(struct line *line, const char *what, uint64_t messages, uint64_t bytes, uint64_t packets, uint64_t of)
{
	const char *before = what;

	if (!messages && !packets && !of)
		return;
	next(line);
	if (messages) {
		add(line, "%s %" PRIu64 " message%s, %" PRIu64 " B", before, messages, messages == 1 ? "" : "s", bytes);
		before = " in";
	}
	if (of)
		add(line, "%s %" PRIu64 " of %" PRIu64 " packet%s", before, packets, of, of == 1 ? "" : "s");
	else if (packets)
		add(line, "%s %" PRIu64 " packet%s", before, packets, packets == 1 ? "" : "s");
}

static void duration_add(struct line *line, uint64_t ns)
{
	if (ns < 1000000)
		add(line, "%.3g us", (double)ns / 1e3);
	else if (ns < 1000000000)
		add(line, "%.3g ms", (double)ns / 1e6);
	else
		add(line, "%.3g s", (double)ns / 1e9);
}

void receipt_text(const struct fault_receipt *receipt, char *buf, size_t size)
{
	struct line line = { buf, size, 0 };

	*buf = '\0';
	hits_add(&line, "hit", receipt->messages, receipt->bytes, receipt->packets, receipt->decisions);
	hits_add(&line, "beside it", receipt->collateral_messages, receipt->collateral_bytes, receipt->collateral_packets, 0);
	if (receipt->fired > 1) {
		next(&line);
		add(&line, "%" PRIu64 " times", receipt->fired);
	}
	if (receipt->effect_ns) {
		next(&line);
		duration_add(&line, receipt->effect_ns);
		add(&line, " after its moment");
	}
	if (receipt->lateness_ns) {
		next(&line);
		duration_add(&line, receipt->lateness_ns);
		add(&line, " later than asked");
	}
	if (receipt->ended_ns && receipt->fired_ns && receipt->ended_ns > receipt->fired_ns) {
		next(&line);
		add(&line, "for ");
		duration_add(&line, receipt->ended_ns - receipt->fired_ns);
	}
	if (receipt->why && *receipt->why) {
		next(&line);
		add(&line, "%s", receipt->why);
	}
}

json_t *receipt_object(const struct fault_receipt *receipt)
{
	json_t *object = json_object();

	json_object_set_new(object, "id", json_integer(receipt->id));
	json_object_set_new(object, "fault", json_text(receipt->line));
	json_object_set_new(object, "state", json_string(fault_state_name(receipt->state)));
	json_object_set_new(object, "why", receipt->why && *receipt->why ? json_text(receipt->why) : json_null());
	json_object_set_new(object, "fired", json_number(receipt->fired));
	json_object_set_new(object, "effect_ns", receipt->fired_ns ? json_number(receipt->effect_ns) : json_null());
	json_object_set_new(object, "messages", json_number(receipt->messages));
	json_object_set_new(object, "bytes", json_number(receipt->bytes));
	json_object_set_new(object, "packets", json_number(receipt->packets));
	json_object_set_new(object, "collateral_messages", json_number(receipt->collateral_messages));
	json_object_set_new(object, "collateral_bytes", json_number(receipt->collateral_bytes));
	json_object_set_new(object, "collateral_packets", json_number(receipt->collateral_packets));
	json_object_set_new(object, "lateness_ns", json_number(receipt->lateness_ns));
	json_object_set_new(object, "decisions", json_number(receipt->decisions));
	return object;
}
