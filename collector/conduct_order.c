/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a conduct tells the agent to do. See conduct.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "collector/conduct_inside.h"
#include "collector/environment.h"

static void order_give(struct conduct *c, struct message_order *order, int actor, uint64_t token, uint64_t now)
{
	struct conduct_pending *grown;
	struct error e = { "" };

	if (c->state == DONE)
		return;
	if (c->n_pending == c->cap_pending) {
		grown = realloc(c->pending, (c->cap_pending + 16) * sizeof(*grown));
		if (!grown) {
			conduct_agent_lost(c, OUTCOME_ERROR, "out of memory");
			return;
		}
		c->pending = grown;
		c->cap_pending += 16;
	}
	if (!c->n_pending)
		c->heard_ns = now;
	order->id = ++c->last_id;
	c->pending[c->n_pending++] = (struct conduct_pending){ order->id, order->kind, actor, token };
	if (c->door.order(c->door.arg, order, &e) < 0)
		conduct_agent_lost(c, OUTCOME_ERROR, e.text);
}

void conduct_order(struct conduct *c, struct message_order *order, int actor, uint64_t now)
{
	order_give(c, order, actor, 0, now);
}

void conduct_order_for(struct conduct *c, struct message_order *order, uint64_t token, uint64_t now)
{
	order_give(c, order, ACTOR_NONE, token, now);
}

void conduct_order_mark(struct conduct *c, char *text, uint64_t now)
{
	conduct_order(c, &(struct message_order){ .kind = ORDER_MARK, .mark = text }, ACTOR_NONE, now);
}

static int workload_status(const struct conduct *c, size_t i)
{
	uint32_t status = c->processes[c->x->n_processes + i].status;

	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The largest of all workloads whose variable has that name: a-b and A_B share one. */
static int status_of(const struct conduct *c, const char *variable)
{
	char name[128];
	int worst = 0;

	for (size_t i = 0; i < c->x->n_workloads; i++) {
		environment_name("BOP_STATUS_", c->processes[c->x->n_processes + i].name, name, sizeof(name));
		if (!strcmp(name, variable) && workload_status(c, i) > worst)
			worst = workload_status(c, i);
	}
	return worst;
}

/* BOP_STATUS=worst and BOP_STATUS_NAME=... for the check. */
static char **statuses_make(const struct conduct *c)
{
	char **list = calloc(c->x->n_workloads + 2, sizeof(*list)), name[128];
	int worst = 0;
	size_t n = 0;

	for (size_t i = 0; list && i < c->x->n_workloads; i++) {
		if (workload_status(c, i) > worst)
			worst = workload_status(c, i);
		environment_name("BOP_STATUS_", c->processes[c->x->n_processes + i].name, name, sizeof(name));
		if (asprintf(&list[n], "%s=%d", name, status_of(c, name)) < 0)
			list[n] = NULL;
		else
			n++;
	}
	if (list && asprintf(&list[n], "BOP_STATUS=%d", worst) < 0)
		list[n] = NULL;
	return list;
}

static void start_program(struct conduct *c, int actor, char *name, const char *box, char **argv, const char *user,
			  const char *directory, char *const *more, uint32_t ready_port, bool system, uint64_t now)
{
	struct environment environment = {
		.search_path = c->x->search_path,
		.run_directory = c->directory,
		.directory = directory,
		.user = user ? user : "root",
		.box = box,
		.boxes = c->boxes,
		.n_boxes = c->n_boxes,
		.more = more,
	};
	struct message_order start = {
		.kind = ORDER_START,
		.start = {
			.name = name,
			.box = (char *)box,
			.user = (char *)(user ? user : ""),
			.directory = (char *)directory,
			.argv = argv,
			.ready_port = ready_port,
			.untraced = !system,
			.quiet = !system,
		},
	};

	if (environment_make(&environment, &start.start.environment) < 0) {
		conduct_failf(c, now, "out of memory");
		return;
	}
	conduct_order(c, &start, actor, now);
	environment_free(start.start.environment);
}

static void order_attach(struct conduct *c, size_t i, uint64_t now)
{
	const struct experiment_process *spec = c->actors[i].spec;
	struct message_order attach = {
		.kind = ORDER_ATTACH,
		.attach = {
			.name = spec->name,
			.box = spec->box,
			.pid = spec->attach->pid,
			.cgroup = spec->attach->cgroup,
			.executable = spec->attach->executable,
			.port = spec->attach->port,
			.container = spec->attach->container,
		},
	};

	conduct_order(c, &attach, (int)i, now);
}

void conduct_order_start(struct conduct *c, size_t i, uint64_t now)
{
	const struct experiment_process *spec = c->actors[i].spec;
	char **statuses;

	c->actors[i].ordered = true;
	if (conduct_is_attached(c, i)) {
		order_attach(c, i, now);
		return;
	}
	if (spec) {
		start_program(c, (int)i, spec->name, spec->box, spec->run, spec->user, c->actors[i].directory, spec->env,
			      spec->ready_port, true, now);
		return;
	}
	statuses = statuses_make(c);
	if (statuses)
		start_program(c, (int)i, NAME_CHECK, c->x->check_box, c->x->check_run, NULL, c->actors[i].directory,
			      statuses, 0, false, now);
	else
		conduct_failf(c, now, "out of memory");
	environment_free(statuses);
}

void conduct_order_helper(struct conduct *c, uint64_t now)
{
	const struct experiment_process *spec = c->actors[c->current].spec;

	c->helper.running = true;
	snprintf(c->helper.name, sizeof(c->helper.name), NAME_READY ":%s:%u", spec->name, ++c->helper.attempt);
	start_program(c, ACTOR_HELPER, c->helper.name, spec->box, spec->ready_run, spec->user,
		      c->actors[c->current].directory, spec->env, 0, false, now);
}

void conduct_order_signal(struct conduct *c, size_t i, uint64_t now)
{
	struct message_order signal = {
		.kind = ORDER_SIGNAL,
		.signal = { .name = c->processes[i].name, .signal = c->actors[i].spec->stop_signal,
			    .box = c->processes[i].box },
	};

	conduct_order(c, &signal, (int)i, now);
}
