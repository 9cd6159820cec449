/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What became of a fault, as far as it is known, and who is told. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tfj/inject_inside.h"

void inject_state(struct injected *it, enum fault_state state)
{
	it->changed |= it->receipt.state != state;
	it->receipt.state = state;
}

void inject_why(struct injected *it, const char *format, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		return; /* nothing is said of it then */
	free(it->receipt.why);
	it->receipt.why = text;
	it->changed = true;
}

/* When its effect ends by itself; NEVER: it does not, or that is not a matter of time alone. */
static uint64_t effect_end(const struct injected *it)
{
	const struct fault *fault = &it->fault;
	bool own = fault->kind == FAULT_HOLD || fault->kind == FAULT_RESTART;
	uint64_t most = NEVER;

	if (fault->duration_ns && !own)
		most = fault->duration_ns;
	if (fault->lease_ns && fault->lease_ns < most)
		most = fault->lease_ns;
	return most == NEVER ? NEVER : it->receipt.fired_ns + most;
}

void inject_fired(struct inject *inject, struct injected *it, uint32_t process, uint64_t fired_ns, uint64_t now_ns)
{
	it->receipt.fired_ns = fired_ns;
	it->receipt.effect_ns = now_ns - fired_ns;
	it->receipt.fired = 1;
	inject_state(it, FAULT_STATE_FIRED);
	if (!it->told_fired)
		inject->place.on_event(EVENT_FIRED, it->fault.id, process, fired_ns, inject->place.arg);
	it->told_fired = true;
	it->due_ns = effect_end(it);
	inject_wants(inject, it->due_ns);
}

void inject_ended(struct inject *inject, struct injected *it, enum fault_state state, uint64_t now_ns)
{
	bool fired = it->receipt.state == FAULT_STATE_FIRED;

	if (it->over)
		return;
	if (fired)
		it->receipt.ended_ns = now_ns;
	it->over = true;
	it->due_ns = NEVER;
	inject_state(it, state);
	inject->place.on_event(state == FAULT_STATE_LIFTED ? EVENT_LIFTED : EVENT_EXPIRED, it->fault.id, 0, now_ns, inject->place.arg);
}

/* Numbers can change without being told at once: with the next change of state, or at the end. */
static void numbers_take(struct fault_receipt *receipt, const struct kernel_receipt *from)
{
	receipt->fired = from->fired;
	receipt->fired_ns = from->fired_ns;
	receipt->messages = from->messages;
	receipt->bytes = from->bytes;
	receipt->packets = from->packets;
	receipt->collateral_bytes = from->collateral_bytes;
	receipt->collateral_packets = from->collateral_packets;
	receipt->lateness_ns = from->lateness_ns;
	receipt->decisions = from->decisions;
}

void inject_look(struct inject *inject, struct injected *it, uint64_t now_ns)
{
	struct kernel_receipt from;

	if (!inject_has_rule(it) || faults_receipt(*inject->place.faults, it->fault.id, &from) < 0)
		return;
	numbers_take(&it->receipt, &from);
	if (it->over)
		return;
	if (from.state == FAULT_STATE_FIRED && it->receipt.state == FAULT_STATE_ARMED) {
		inject_fired(inject, it, 0, from.fired_ns, from.fired_ns);
		it->receipt.fired = from.fired;
	} else if (from.state == FAULT_STATE_WOULD_FIRE) {
		inject_state(it, from.state);
	} else if (from.state == FAULT_STATE_REFUSED) {
		inject_state(it, from.state);
		if (it->fault.at.kind == MOMENT_RECV)
			inject_why(it, "its message came, but %u other faults waited for receives on that connection", RULE_SHARED);
		else
			inject_why(it, "its moment came, but %u other faults acted on that connection", RULE_FLOW);
		it->over = true;
	} else if (from.state == FAULT_STATE_EXPIRED || from.state == FAULT_STATE_LIFTED) {
		if (from.fired && it->receipt.state == FAULT_STATE_ARMED)
			inject_fired(inject, it, 0, from.fired_ns, from.fired_ns);
		inject_ended(inject, it, from.state, from.ended_ns ? from.ended_ns : now_ns);
	}
	/* what we do ourselves takes its own time */
	if (it->fault.kind != FAULT_RATE && it->fault.kind != FAULT_REORDER)
		it->receipt.effect_ns = from.effect_ns;
}

void inject_tell(struct inject *inject)
{
	struct fault_receipt *rows;
	size_t n = 0;

	for (size_t i = 0; i < inject->n; i++)
		n += inject->list[i]->changed;
	rows = n && !inject->closed ? malloc(n * sizeof(*rows)) : NULL;
	if (!rows)
		return; /* without memory: next time */
	n = 0;
	for (size_t i = 0; i < inject->n; i++)
		if (inject->list[i]->changed) {
			rows[n++] = inject->list[i]->receipt;
			inject->list[i]->changed = false;
		}
	inject->place.on_receipts(rows, n, inject->place.arg);
	free(rows);
}

int inject_receipts(struct inject *inject, struct fault_receipt **ret_rows, size_t *ret_n)
{
	struct fault_receipt *rows = calloc(inject->n + 1, sizeof(*rows));
	size_t n = 0;

	if (!rows)
		return -ENOMEM;
	for (; n < inject->n; n++) {
		struct injected *it = inject->list[n];

		inject_look(inject, it, it->receipt.ended_ns);
		if (it->receipt.state == FAULT_STATE_ARMED)
			inject_state(it, FAULT_STATE_NEVER_FIRED);
		rows[n] = it->receipt;
		rows[n].line = strdup(it->receipt.line);
		rows[n].why = strdup(it->receipt.why);
		if (!rows[n].line || !rows[n].why)
			break;
	}
	if (n < inject->n) {
		for (size_t i = 0; i <= n; i++)
			fault_receipt_fini(&rows[i]);
		free(rows);
		return -ENOMEM;
	}
	inject_tell(inject);
	inject->closed = true;
	*ret_rows = rows;
	*ret_n = n;
	return 0;
}
