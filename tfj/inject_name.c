/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names of a plan become numbers of the kernel side; what cannot be done here is refused with the reason. Nothing is
 * changed by it, so that an order is checked whole before anything is armed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tfj/failing.h"
#include "tfj/inject_inside.h"
#include "tfj/label.h"

const struct box *inject_box(const struct inject *inject, const char *name)
{
	const struct boxes *boxes = inject->place.boxes;

	for (size_t i = 0; i < boxes->n_known; i++)
		if (!strcasecmp(boxes->box[i].name, name))
			return &boxes->box[i];
	return NULL;
}

static bool is_here(const struct inject *inject, const struct box *box)
{
	return box->index <= inject->place.boxes->n;
}

static bool has_guests(const struct inject *inject)
{
	return inject->place.boxes->n && inject->place.boxes->box[0].guest;
}

uint32_t inject_process(struct inject *inject, const char *label, int *ret_pidfd)
{
	uint32_t index;
	pid_t pid;
	int fd;

	inject->place.settle(inject->place.arg);
	index = names_process(inject->place.names, label, &pid);
	fd = index ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (fd < 0)
		return 0;
	/* Its number may be another's by now: then that one is not in our cgroup. First that, then that it lives. */
	if (cgroup_holds(inject->place.cgroup, pid) && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0) {
		*ret_pidfd = fd;
		return index;
	}
	close(fd);
	return 0;
}

/* ---- moments ---- */

static int address_resolve(struct inject *inject, const struct fault_connection *connection, struct fault_where *where,
			   const struct box **ret_box, struct error *e)
{
	const struct box *box = inject_box(inject, connection->box);

	if (!box && inet_pton(AF_INET, connection->box, where->ip + 12) == 1)
		where->ip[10] = where->ip[11] = 0xff;
	else if (!box && inet_pton(AF_INET6, connection->box, where->ip) != 1)
		return error_set(e, -ENOENT, "'%s' is no box of this run", connection->box);
	*ret_box = box ? box : boxes_at(inject->place.boxes, where->ip);
	if (*ret_box)
		where->box = inject->place.box_base + (*ret_box)->index;
	return 0;
}

static bool is_several(const struct inject *inject)
{
	return inject->place.boxes->n_known > inject->place.boxes->n;
}

/* The two ends may be on different kernels: is what each of them knows enough for that moment? */
static int kernels_check(const struct inject *inject, const struct fault_moment *at, const struct box *box, bool *ret_elsewhere,
			 struct error *e)
{
	/* who has to know its name there: the end that accepts */
	bool acceptor = !fault_moment_is_connectors(at), here = box && is_here(inject, box);
	char *text = fault_connection_print(&at->connection);
	const char *name = text ? text : at->connection.box;
	int err = 0;

	if (acceptor && !here && (!box || inject->place.no_syn))
		err = error_set(e, -ENOTSUP, "%s is accepted by another kernel, which does not know that it is this connection%s%s: only moments "
				"of who connects can be told here", name, box ? ", because " : "", box ? inject->place.no_syn : "");
	else if (acceptor && is_several(inject) && inject->place.no_syn)
		err = error_set(e, -ENOTSUP, "%s may be from another kernel, and this one does not know which connection it is, because %s",
				name, inject->place.no_syn);
	else if (at->kind == MOMENT_RECV && at->message > 1 && !here)
		err = error_set(e, -ENOTSUP, "%s is between two kernels, and where message %u of it begins is known only to the one that sends "
				"it: of receives only that of the first message can be told", name, at->message);
	free(text);
	*ret_elsewhere = acceptor && !here;
	return err;
}

static int connection_resolve(struct inject *inject, const struct fault_moment *at, struct resolved *to, struct error *e)
{
	const struct fault_connection *connection = &at->connection;
	struct fault_where *where = &to->rule.where;
	const struct box *box = NULL;
	int err = address_resolve(inject, connection, where, &box, e);

	err = err ? err : kernels_check(inject, at, box, &to->elsewhere, e);
	if (err || to->elsewhere)
		return err;
	where->process = label_number(connection->process);
	where->ordinal = connection->ordinal;
	where->port = (uint16_t)connection->port;
	if (!where->port) {
		where->port = box ? names_port(inject->place.names, box->index, connection->port_order) : 0;
		to->waits_port = !where->port;
		if (!box || !is_here(inject, box))
			return error_set(e, -ENOTSUP, "which port of %s the kernel chose as number %u is known only where that box is",
					 connection->box, connection->port_order);
	}
	return 0;
}

static int moment_resolve(struct inject *inject, const struct fault *fault, struct resolved *to, struct error *e)
{
	const struct fault_moment *at = &fault->at;
	bool own = fault->kind == FAULT_CRASH || fault->kind == FAULT_PAUSE;

	to->rule.moment = at->kind;
	to->rule.reply = at->reply;
	to->rule.message = at->message;
	if (own)
		to->rule.process = label_number(fault->process);
	switch (at->kind) {
	case MOMENT_SEND:
	case MOMENT_RECV:
	case MOMENT_CONNECT:
	case MOMENT_ACCEPT:
		return connection_resolve(inject, at, to, e);
	case MOMENT_EXIT:
	case MOMENT_START:
		if (own && strcmp(at->process, fault->process))
			return error_set(e, -EINVAL, "the moment must be one of %s's own", fault->process);
		to->rule.process = label_number(at->process);
		return 0;
	case MOMENT_NONE:
	case MOMENT_KIND_COUNT:
		break;
	}
	return 0;
}

/* ---- groups ---- */

/* names NULL: everybody, which in the namespaces of guests means all boxes of the run. *ret_local: one of them is here. */
static int group_resolve(struct inject *inject, char *const *names, uint32_t **ret_numbers, size_t *ret_n, bool *ret_local,
			 struct error *e)
{
	const struct boxes *boxes = inject->place.boxes;
	size_t n = 0;

	while (names && names[n])
		n++;
	if (!names)
		n = has_guests(inject) ? boxes->n_known : 0;
	*ret_numbers = calloc(n + 1, sizeof(**ret_numbers));
	if (!*ret_numbers)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const struct box *box = names ? inject_box(inject, names[i]) : &boxes->box[i];

		if (!box)
			return error_set(e, -ENOENT, "'%s' is no box of this run", names[i]);
		(*ret_numbers)[i] = inject->place.box_base + box->index;
		*ret_local |= names && is_here(inject, box);
	}
	*ret_n = n;
	return 0;
}

static int groups_resolve(struct inject *inject, const struct fault *fault, struct resolved *to, struct error *e)
{
	bool local = false;
	int err = group_resolve(inject, fault->from, &to->from, &to->rule.n_from, &local, e);

	if (!err)
		err = group_resolve(inject, fault->to, &to->to, &to->rule.n_to, &local, e);
	if (err)
		return err;
	if (!local)
		return error_set(e, -ENOENT, "none of its boxes is on this agent");
	to->rule.from = to->from;
	to->rule.to = to->to;
	/* Of a guest everybody else is not ours to cut off: the other boxes are. */
	if (has_guests(inject) && (fault->kind == FAULT_ISOLATE || fault->kind == FAULT_CRASH_BOX))
		to->rule.kind = FAULT_PARTITION;
	return 0;
}

/* ---- kinds ---- */

static int box_here(struct inject *inject, const struct fault *fault, struct error *e)
{
	const struct box *box = inject_box(inject, fault->from[0]);

	return box && is_here(inject, box) ? 0 : error_set(e, -ENOENT, "box '%s' is not on this agent", fault->from[0]);
}

/* At once: of a process that lives, by us; of one that is not there yet, as it starts. */
static void process_resolve(struct inject *inject, const struct fault *fault, struct resolved *to)
{
	int pidfd;

	if (fault->at.kind != MOMENT_NONE)
		return;
	if (inject_process(inject, fault->process, &pidfd)) {
		close(pidfd);
		to->at_once = true;
		to->kernel = false;
	} else {
		to->rule.moment = MOMENT_START;
	}
}

static int shape_resolve(struct inject *inject, const struct fault *fault, struct resolved *to, struct error *e)
{
	if (has_guests(inject))
		return error_set(e, -ENOTSUP, "queues are put only on devices that the agent made, and box '%s' was there before", fault->from[0]);
	to->at_once = fault->at.kind == MOMENT_NONE;
	to->kernel = !to->at_once;
	return 0;
}

/* s1.2 */
static bool is_child(const char *label)
{
	const char *dot = strrchr(label, '.');

	return dot && dot[1] && !dot[1 + strspn(dot + 1, "0123456789")];
}

static int failing_resolve(struct inject *inject, const struct fault *fault, struct error *e)
{
	const struct failing_call call = { fault->call, fault->error };
	int pidfd, err = failing_check(&call, e);

	if (err)
		return err;
	if (fault->at.kind != MOMENT_NONE && (fault->at.kind != MOMENT_START || strcmp(fault->at.process, fault->process)))
		return error_set(e, -ENOTSUP, "calls can be made to fail from a program's start on, not from another moment");
	if (fault->duration_ns || fault->lease_ns || fault->times)
		return error_set(e, -ENOTSUP, "a call that fails for a program does so as long as it lives: no 'for', 'lease' or 'times'");
	if (is_child(fault->process))
		return error_set(e, -ENOTSUP, "calls can be made to fail only for programs that the experiment starts (and then for their "
				 "children, too), not for %s alone", fault->process);
	if (!inject_process(inject, fault->process, &pidfd))
		return 0;
	close(pidfd);
	return error_set(e, -ENOTSUP, "%s runs already: calls can be made to fail from a program's start on", fault->process);
}

/* What a run has not started is left alone: it goes on when the run, and the agent, are gone. */
static int attached_check(const struct inject *inject, const struct fault *fault, struct error *e)
{
	if (!fault->process || !inject->place.is_attached(fault->process, inject->place.arg))
		return 0;
	return error_set(e, -ENOTSUP, "%s was not started by the run, which leaves it alone: faults act on its connections only", fault->process);
}

int inject_spares(const struct inject *inject, const char *name, struct error *e)
{
	for (size_t i = 0; i < inject->n; i++) {
		const struct fault *fault = &inject->list[i]->fault;

		if (fault->process && label_is_below(fault->process, name))
			return error_set(e, -ENOTSUP, "'%s' cannot be attached: fault %u (%.100s) would act on it, and what a run has not "
					 "started it leaves alone", name, fault->id, inject->list[i]->receipt.line);
	}
	return 0;
}

static int kind_resolve(struct inject *inject, const struct fault *fault, struct resolved *to, struct error *e)
{
	to->kernel = true;
	switch (fault->kind) {
	case FAULT_CUT:
	case FAULT_DROP:
	case FAULT_HOLD:
	case FAULT_RESET:
	case FAULT_REFUSE:
		return 0;
	case FAULT_PARTITION:
	case FAULT_ISOLATE:
	case FAULT_LOSS:
	case FAULT_CORRUPT:
	case FAULT_DUPLICATE:
		return groups_resolve(inject, fault, to, e);
	case FAULT_CRASH_BOX:
		to->at_once = fault->at.kind == MOMENT_NONE;
		return box_here(inject, fault, e) ? -ENOENT : groups_resolve(inject, fault, to, e);
	case FAULT_PAUSE:
		if (!inject->place.guardian)
			return error_set(e, -ENOTSUP, "nobody would wake %s if the agent died: the guardian is gone", fault->process);
		process_resolve(inject, fault, to);
		return 0;
	case FAULT_CRASH:
		process_resolve(inject, fault, to);
		return 0;
	case FAULT_RATE:
	case FAULT_REORDER:
		return shape_resolve(inject, fault, to, e);
	case FAULT_RESTART:
		to->kernel = false;
		return fault->at.kind == MOMENT_NONE && !is_child(fault->process) ?
			       0 :
			       error_set(e, -ENOTSUP, "only programs that the experiment starts are started again, when a fault has ended them");
	case FAULT_FAIL:
		to->kernel = false;
		return failing_resolve(inject, fault, e);
	case FAULT_NONE:
	case FAULT_KIND_COUNT:
		break;
	}
	return error_set(e, -EINVAL, "this agent does not know that kind");
}

/* What works once works for the whole run. */
static int able_check(struct inject *inject, enum fault_kind kind, struct error *e)
{
	int err = inject->able[kind] ? 0 : inject_able(inject->place.tracer, kind, e);

	inject->able[kind] = !err;
	return err;
}

int inject_resolve(struct inject *inject, const struct fault *fault, struct resolved *ret_resolved, struct error *e)
{
	struct resolved to = {
		.rule = {
			.id = fault->id,
			.kind = fault->kind,
			.flags = fault->flags,
			.times = fault->times,
			.ppm = fault->ppm,
			.duration_ns = fault->duration_ns,
			.lease_ns = fault->lease_ns,
			.seed = fault->seed,
		},
	};
	int err = 0;

	if (!fault->id || fault->id >= RULE_MAX)
		err = error_set(e, -E2BIG, "at most %d faults in a run", RULE_MAX - 1);
	else if (inject->by_id[fault->id])
		err = error_set(e, -EEXIST, "there is one with that number already");
	if (!err)
		err = attached_check(inject, fault, e);
	if (!err)
		err = moment_resolve(inject, fault, &to, e);
	if (!err && !to.elsewhere)
		err = kind_resolve(inject, fault, &to, e);
	if (!err && !to.elsewhere)
		err = able_check(inject, fault->kind, e);
	if (err)
		resolved_fini(&to);
	else
		*ret_resolved = to;
	return err;
}

void resolved_fini(struct resolved *resolved)
{
	free(resolved->from);
	free(resolved->to);
}
