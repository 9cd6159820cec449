/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Faults to text, and what belongs to them. Pure. Fails only without memory. */
#include "proto/fault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/fault_inside.h"

const char *fault_kind_name(unsigned kind)
{
	static const char *const names[FAULT_KIND_COUNT] = {
#define X(NAME, word, usage, text) [FAULT_##NAME] = word,
		FAULT_KINDS(X)
#undef X
	};

	return kind < FAULT_KIND_COUNT && names[kind] ? names[kind] : "?";
}

const char *fault_state_name(unsigned state)
{
	static const char *const names[FAULT_STATE_COUNT] = {
		[FAULT_STATE_NONE] = "asked",
#define X(NAME, word, text) [FAULT_STATE_##NAME] = word,
		FAULT_STATES(X)
#undef X
	};

	return state < FAULT_STATE_COUNT && names[state] ? names[state] : "?";
}

static void names_free(char **names)
{
	for (size_t i = 0; names && names[i]; i++)
		free(names[i]);
	free(names);
}

static void moment_fini(struct fault_moment *moment)
{
	free(moment->connection.process);
	free(moment->connection.box);
	free(moment->process);
}

void fault_fini(struct fault *fault)
{
	moment_fini(&fault->at);
	free(fault->process);
	free(fault->call);
	names_free(fault->from);
	names_free(fault->to);
	free(fault->from_columns);
	free(fault->to_columns);
	free(fault->text);
	*fault = (struct fault){ .kind = FAULT_NONE };
}

void fault_receipt_fini(struct fault_receipt *receipt)
{
	free(receipt->line);
	free(receipt->why);
	*receipt = (struct fault_receipt){ .state = FAULT_STATE_NONE };
}

/* The largest unit that leaves no remainder. */
static void duration_put(FILE *out, uint64_t ns)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = { { 3600000000000ull, "h" }, { 60000000000ull, "m" }, { 1000000000, "s" },
		      { 1000000, "ms" },	 { 1000, "us" },	  { 1, "ns" } };
	size_t i = 0;

	if (!ns) {
		fputs("0s", out);
		return;
	}
	while (ns % units[i].ns)
		i++;
	fprintf(out, "%" PRIu64 "%s", ns / units[i].ns, units[i].name);
}

static void percent_put(FILE *out, uint32_t ppm)
{
	uint32_t fraction = ppm % 10000;
	int digits = 4;

	fprintf(out, "%" PRIu32, ppm / 10000);
	if (fraction) {
		for (; !(fraction % 10); fraction /= 10)
			digits--;
		fprintf(out, ".%0*" PRIu32, digits, fraction);
	}
	fputc('%', out);
}

static void rate_put(FILE *out, uint64_t rate)
{
	static const struct {
		uint64_t bits;
		const char *name;
	} units[] = { { 1000000000, "gbit" }, { 1000000, "mbit" }, { 1000, "kbit" }, { 1, "bit" } };
	size_t i = 0;

	while (rate % units[i].bits)
		i++;
	fprintf(out, "%" PRIu64 "%s", rate / units[i].bits, units[i].name);
}

static void connection_put(FILE *out, const struct fault_connection *c, char arrow)
{
	fprintf(out, strchr(c->box, ':') ? "%s%c[%s]:" : "%s%c%s:", c->process, arrow, c->box);
	if (c->port)
		fprintf(out, "%" PRIu32, c->port);
	else
		fprintf(out, "*%" PRIu32, c->port_order);
	fprintf(out, "#%" PRIu32, c->ordinal);
}

static void label_put(FILE *out, const struct fault_moment *moment)
{
	switch (moment->kind) {
	case MOMENT_SEND:
	case MOMENT_RECV:
		connection_put(out, &moment->connection, moment->reply ? '<' : '>');
		fprintf(out, "/%" PRIu32, moment->message);
		break;
	case MOMENT_CONNECT:
	case MOMENT_ACCEPT:
		connection_put(out, &moment->connection, '>');
		break;
	case MOMENT_EXIT:
	case MOMENT_START:
		fputs(moment->process, out);
		break;
	case MOMENT_NONE:
	case MOMENT_KIND_COUNT:
		break;
	}
}

static void moment_put(FILE *out, const char *before, const struct fault_moment *moment)
{
	if (moment->kind == MOMENT_NONE)
		return;
	fprintf(out, "%s%s ", before, fault_moment_word(moment->kind));
	label_put(out, moment);
}

static void names_put(FILE *out, char *const *names)
{
	for (size_t i = 0; names[i]; i++)
		fprintf(out, "%s%s", i ? "," : "", names[i]);
}

static void groups_put(FILE *out, const struct fault *fault)
{
	names_put(out, fault->from);
	if (fault->to) {
		fputs(" | ", out);
		names_put(out, fault->to);
	}
}

static void head_put(FILE *out, const struct fault *fault)
{
	fprintf(out, "%s ", fault_kind_name(fault->kind));
	switch (fault->kind) {
	case FAULT_CUT:
	case FAULT_DROP:
	case FAULT_HOLD:
	case FAULT_RESET:
	case FAULT_REFUSE:
		label_put(out, &fault->at);
		break;
	case FAULT_LOSS:
	case FAULT_CORRUPT:
	case FAULT_DUPLICATE:
	case FAULT_REORDER:
		percent_put(out, fault->ppm);
		fputc(' ', out);
		groups_put(out, fault);
		break;
	case FAULT_RATE:
		rate_put(out, fault->rate);
		fputc(' ', out);
		groups_put(out, fault);
		break;
	case FAULT_PARTITION:
	case FAULT_ISOLATE:
	case FAULT_CRASH_BOX:
		groups_put(out, fault);
		break;
	case FAULT_FAIL:
		fprintf(out, "%s %s %s", fault->call, fault_errno_name(fault->error), fault->process);
		break;
	case FAULT_CRASH:
	case FAULT_RESTART:
	case FAULT_PAUSE:
		fputs(fault->process, out);
		break;
	case FAULT_NONE:
	case FAULT_KIND_COUNT:
		break;
	}
}

static void options_put(FILE *out, const struct fault *fault)
{
	uint32_t may = fault_options(fault->kind);

	if (fault->flags & FAULT_F_ONEWAY)
		fputs(" oneway", out);
	if (fault->flags & FAULT_F_TIMEOUT)
		fputs(" timeout", out);
	if (may & (FAULT_OPTION(AT) | FAULT_OPTION(FROM)))
		moment_put(out, may & FAULT_OPTION(AT) ? " at " : " from ", &fault->at);
	if (fault->flags & FAULT_F_SILENT)
		fputs(" silent", out);
	if (may & FAULT_OPTION(AFTER) || fault->duration_ns) {
		fputs(may & FAULT_OPTION(AFTER) ? " after " : " for ", out);
		duration_put(out, fault->duration_ns);
	}
	if (fault->lease_ns) {
		fputs(" lease ", out);
		duration_put(out, fault->lease_ns);
	}
	if (fault->times > (fault->kind == FAULT_DROP))
		fprintf(out, " times %" PRIu32, fault->times);
	if (fault->seed_given)
		fprintf(out, " seed %" PRIu64, fault->seed);
}

/* Closes out; NULL if any of it did not find memory. */
static char *text_end(FILE *out, char **text)
{
	bool bad = ferror(out);

	if (fclose(out) || bad) {
		free(*text);
		*text = NULL;
	}
	return *text;
}

char *fault_print(const struct fault *fault)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	head_put(out, fault);
	options_put(out, fault);
	return text_end(out, &text);
}

char *fault_connection_print(const struct fault_connection *connection)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	connection_put(out, connection, '>');
	return text_end(out, &text);
}

/* Of two agents' words about one fault the one that says more; unknown hides what the other may have seen. */
static unsigned weight(enum fault_state state)
{
	static const unsigned char weights[FAULT_STATE_COUNT] = {
		[FAULT_STATE_NEVER_FIRED] = 1, [FAULT_STATE_ARMED] = 2,	  [FAULT_STATE_WOULD_FIRE] = 3, [FAULT_STATE_LIFTED] = 4,
		[FAULT_STATE_EXPIRED] = 5,     [FAULT_STATE_FIRED] = 6,	  [FAULT_STATE_UNKNOWN] = 7,	[FAULT_STATE_REFUSED] = 8,
	};

	return state < FAULT_STATE_COUNT ? weights[state] : 0;
}

static uint64_t first_of(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

static uint64_t last_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void fault_receipt_join(struct fault_receipt *into, struct fault_receipt *from)
{
	bool takes = weight(from->state) > weight(into->state);
	char *why = into->why;

	if (takes)
		into->state = from->state;
	if (from->why && *from->why && (takes || !why || !*why)) {
		into->why = from->why;
		from->why = why;
	}
	into->fired_ns = first_of(into->fired_ns, from->fired_ns);
	into->effect_ns = last_of(into->effect_ns, from->effect_ns);
	into->ended_ns = last_of(into->ended_ns, from->ended_ns);
	into->lateness_ns = last_of(into->lateness_ns, from->lateness_ns);
	into->fired += from->fired;
	into->messages += from->messages;
	into->bytes += from->bytes;
	into->packets += from->packets;
	into->collateral_messages += from->collateral_messages;
	into->collateral_bytes += from->collateral_bytes;
	into->collateral_packets += from->collateral_packets;
	into->decisions += from->decisions;
	fault_receipt_fini(from);
}
