/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Faults and the programs of the run: those whose calls fail from their start on, those that a fault has ended, and those
 * that are started again. See inject.h.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tfj/failing.h"
#include "tfj/inject_inside.h"

void inject_restart_cancel(struct inject *inject, struct injected *it)
{
	if (!it->pending)
		return;
	it->pending = false;
	it->due_ns = it->armed_until;
	inject->place.on_no_restart(it->name, it->status, it->killer, inject->place.arg);
}

static void restart_failed(struct inject *inject, struct injected *it, const char *why)
{
	inject->place.on_no_restart(it->name, it->status, it->killer, inject->place.arg);
	inject_why(it, "it could not be started again: %s", why);
	inject_state(it, FAULT_STATE_NEVER_FIRED);
	it->over = true;
}

void inject_restart(struct inject *inject, struct injected *it, uint64_t now_ns)
{
	struct injected *killer = inject->by_id[it->killer];
	struct error e = { "" };

	it->pending = false;
	it->due_ns = NEVER;
	if (killer && killer->fault.kind == FAULT_CRASH_BOX)
		inject_box_power(inject, killer);
	inject->place.settle(inject->place.arg);
	if (crew_again(inject->place.crew, it->name, now_ns, &e) < 0)
		restart_failed(inject, it, e.text);
	else
		it->starting = true;
}

void inject_no_restarts(struct inject *inject)
{
	inject->no_restarts = true;
	for (size_t i = 0; i < inject->n; i++)
		inject_restart_cancel(inject, inject->list[i]);
}

/* The crash would have happened: so would the start again. */
void inject_restart_would(struct inject *inject, const struct injected *crash)
{
	for (size_t i = 0; i < inject->n; i++) {
		struct injected *it = inject->list[i];

		if (it->fault.kind == FAULT_RESTART && crash->fault.process && !strcmp(it->fault.process, crash->fault.process))
			inject_state(it, FAULT_STATE_WOULD_FIRE);
	}
}

void inject_filter_free(struct inject *inject)
{
	if (inject->filter)
		free(inject->filter->filter);
	free(inject->filter);
	inject->filter = NULL;
}

static const char *label_of(const struct inject *inject, uint32_t process)
{
	return process ? inject->place.stream->part.processes[process].name : "";
}

const struct sock_fprog *inject_failing(struct inject *inject, const char *label)
{
	struct failing_call *calls = calloc(inject->n + 1, sizeof(*calls));
	struct error ignored;
	size_t n = 0;

	inject_filter_free(inject);
	for (size_t i = 0; i < inject->n && calls; i++) {
		struct injected *it = inject->list[i];

		if (it->fault.kind != FAULT_FAIL || it->over || strcmp(it->fault.process, label))
			continue;
		it->pending = true;
		if (!(it->fault.flags & FAULT_F_DRY))
			calls[n++] = (struct failing_call){ it->fault.call, it->fault.error };
	}
	inject->filter = n ? calloc(1, sizeof(*inject->filter)) : NULL;
	if (inject->filter && failing_make(calls, n, inject->filter, &ignored) < 0)
		inject_filter_free(inject);
	for (size_t i = 0; i < inject->n && n && !inject->filter; i++)
		inject->list[i]->pending &= inject->list[i]->fault.kind != FAULT_FAIL; /* no memory: it never fires */
	free(calls);
	return inject->filter;
}

/* The program runs with what was put on it. */
static void failing_started(struct inject *inject, uint32_t process, int err, uint64_t now_ns)
{
	for (size_t i = 0; i < inject->n; i++) {
		struct injected *it = inject->list[i];

		if (it->fault.kind != FAULT_FAIL || !it->pending || strcmp(it->fault.process, label_of(inject, process)))
			continue;
		it->pending = false;
		if (err)
			continue;
		if (it->fault.flags & FAULT_F_DRY) {
			inject_state(it, FAULT_STATE_WOULD_FIRE);
			continue;
		}
		inject_fired(inject, it, process, now_ns, now_ns);
		inject_why(it, "how often the call failed is not counted");
	}
}

static void again_started(struct inject *inject, const char *name, uint32_t process, int err, const char *error, uint64_t now_ns)
{
	for (size_t i = 0; i < inject->n; i++) {
		struct injected *it = inject->list[i];

		if (!it->starting || strcmp(it->name, name))
			continue;
		it->starting = false;
		if (err)
			restart_failed(inject, it, error);
		else
			inject_fired(inject, it, process, it->killed_ns + it->fault.duration_ns, now_ns);
	}
}

static bool is_off(const struct inject *inject, const struct injected *it, uint32_t process)
{
	const struct box *box = it->fault.kind == FAULT_CRASH_BOX ? inject_box(inject, it->fault.from[0]) : NULL;

	return box && !it->powered && it->receipt.state == FAULT_STATE_FIRED &&
	       box->index == inject->place.stream->part.processes[process].box;
}

void inject_on_started(struct inject *inject, const char *name, uint32_t process, bool again, int err, const char *error,
		       uint64_t now_ns)
{
	if (again)
		again_started(inject, name, process, err, error, now_ns);
	if (process)
		failing_started(inject, process, err, now_ns);
	for (size_t i = 0; i < inject->n && process && !err; i++)
		if (is_off(inject, inject->list[i], process)) /* there is no power to run it */
			crew_kill_box(inject->place.crew, inject_box(inject, inject->list[i]->fault.from[0])->index);
	inject_hurries_count(inject);
	inject_tell(inject);
}

void inject_on_exited(struct inject *inject, const char *name, uint32_t process, uint32_t status, uint64_t now_ns,
		      uint32_t *ret_fault, bool *ret_restarts)
{
	*ret_fault = 0;
	*ret_restarts = false;
	if (!process || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		return;
	for (size_t i = 0; i < inject->n && !*ret_fault; i++) {
		const struct injected *it = inject->list[i];
		bool its = it->fault.kind == FAULT_CRASH && it->receipt.state != FAULT_STATE_ARMED && it->receipt.fired &&
			   !strcmp(it->fault.process, label_of(inject, process));

		if (its || is_off(inject, it, process))
			*ret_fault = it->fault.id;
	}
	for (size_t i = 0; i < inject->n && *ret_fault && !inject->no_restarts; i++) {
		struct injected *it = inject->list[i];

		if (it->fault.kind != FAULT_RESTART || it->over || it->receipt.state != FAULT_STATE_ARMED || it->pending ||
		    it->starting || strcmp(it->fault.process, label_of(inject, process)))
			continue;
		free(it->name);
		it->name = strdup(name);
		if (!it->name)
			continue;
		it->pending = *ret_restarts = true;
		it->killed_ns = now_ns;
		it->killer = *ret_fault;
		it->status = status;
		it->due_ns = now_ns + it->fault.duration_ns;
		inject_wants(inject, it->due_ns);
		break;
	}
}
