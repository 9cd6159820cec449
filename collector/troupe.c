/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See troupe.h. What is owed: one entry an order that has no answer yet. */
#include "collector/troupe.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/plan.h"

/* An order that only the troupe gives: what some agents began is to end. Conducts count from 1. */
#define ID_UNDO (UINT64_MAX - 1)

struct owed {
	uint64_t id;
	enum order_kind kind;
	size_t left;	 /* agents that have not answered */
	bool *waiting;	 /* by agent: it was asked and has not answered */
	int32_t code, pid;
	char error[400]; /* of the first that failed */
	bool failed;
};

/* A fault that an agent was given. */
struct held {
	uint32_t id;
	size_t agent;
};

struct troupe {
	const struct cast *cast;
	const struct experiment *x;
	struct troupe_door door;
	struct owed *owed;
	size_t n_owed, cap_owed;
	bool *began; /* by agent */
	struct held *held;
	size_t n_held;
	struct trace_box *boxes; /* by box of the cast; what the agents said */
	uint64_t undoes; /* the Begin whose refusal waits until all have finished; 0: none */
	struct message reply; /* of all; its strings are borrowed from below */
	char reply_error[400];
};

struct troupe *troupe_new(const struct cast *cast, const struct experiment *x, const struct troupe_door *door)
{
	struct troupe *troupe = calloc(1, sizeof(*troupe));

	if (!troupe)
		return NULL;
	troupe->cast = cast;
	troupe->x = x;
	troupe->door = *door;
	troupe->began = calloc(cast->n_agents + 1, sizeof(*troupe->began));
	troupe->boxes = calloc(cast->n_boxes + 1, sizeof(*troupe->boxes));
	if (troupe->began && troupe->boxes)
		return troupe;
	troupe_free(troupe);
	return NULL;
}

void troupe_free(struct troupe *troupe)
{
	if (!troupe)
		return;
	for (size_t i = 0; i < troupe->n_owed; i++)
		free(troupe->owed[i].waiting);
	for (size_t i = 0; troupe->boxes && i < troupe->cast->n_boxes; i++) {
		free(troupe->boxes[i].name);
		free(troupe->boxes[i].address);
		free(troupe->boxes[i].address6);
	}
	free(troupe->owed);
	free(troupe->held);
	free(troupe->boxes);
	free(troupe->began);
	free(troupe);
}

static struct owed *owed_add(struct troupe *troupe, uint64_t id, enum order_kind kind)
{
	struct owed *grown, *owed;

	if (troupe->n_owed == troupe->cap_owed) {
		grown = realloc(troupe->owed, (troupe->cap_owed + 16) * sizeof(*grown));
		if (!grown)
			return NULL;
		troupe->owed = grown;
		troupe->cap_owed += 16;
	}
	owed = &troupe->owed[troupe->n_owed];
	*owed = (struct owed){ .id = id, .kind = kind };
	owed->waiting = calloc(troupe->cast->n_agents, sizeof(*owed->waiting));
	if (!owed->waiting)
		return NULL;
	troupe->n_owed++;
	return owed;
}

static void owed_remove(struct troupe *troupe, struct owed *owed)
{
	free(owed->waiting);
	*owed = troupe->owed[--troupe->n_owed];
}

/* The Begin for one agent: its own boxes, and the addresses of the others. */
static int begin_one(struct troupe *troupe, size_t agent, const struct message_order *order, struct error *e)
{
	const struct cast *cast = troupe->cast;
	struct message_order mine = *order;
	char **names = calloc(cast->n_boxes + 1, sizeof(*names));
	struct trace_box *peers = calloc(cast->n_boxes + 1, sizeof(*peers));
	size_t n = 0;
	int err = -ENOMEM;

	mine.begin.boxes = names;
	mine.begin.peers = peers;
	mine.begin.n_peers = 0;
	for (size_t i = 0; names && peers && i < cast->n_boxes; i++) {
		const struct cast_box *box = &cast->boxes[i];

		if (box->agent == agent)
			names[n++] = (char *)box->name;
		else
			peers[mine.begin.n_peers++] = (struct trace_box){ (char *)box->name, box->address, box->address6 };
	}
	if (names && peers)
		err = troupe->door.order(troupe->door.arg, agent, &mine, e);
	else
		error_set(e, err, "out of memory");
	free(names);
	free(peers);
	return err;
}

static bool concerns(const struct troupe *troupe, size_t agent, const struct fault *fault)
{
	for (size_t i = 0; i < troupe->cast->n_boxes; i++)
		if (troupe->cast->boxes[i].agent == agent && plan_concerns(troupe->x, fault, troupe->cast->boxes[i].name))
			return true;
	return false;
}

static int held_add(struct troupe *troupe, const struct fault *faults, size_t n, size_t agent)
{
	struct held *grown = realloc(troupe->held, (troupe->n_held + n + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	troupe->held = grown;
	for (size_t i = 0; i < n; i++)
		grown[troupe->n_held++] = (struct held){ faults[i].id, agent };
	return 0;
}

/* The faults that are about boxes of that agent; none: it is not asked. */
static int arm_one(struct troupe *troupe, struct owed *owed, size_t agent, const struct message_order *order, struct error *e)
{
	struct message_order mine = *order;
	int err;

	mine.arm.n = 0;
	mine.arm.faults = calloc(order->arm.n + 1, sizeof(*mine.arm.faults));
	if (!mine.arm.faults)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < order->arm.n; i++)
		if (concerns(troupe, agent, &order->arm.faults[i]))
			mine.arm.faults[mine.arm.n++] = order->arm.faults[i];
	err = held_add(troupe, mine.arm.faults, mine.arm.n, agent) ? error_set(e, -ENOMEM, "out of memory") : 0;
	if (!err && mine.arm.n) {
		owed->waiting[agent] = true;
		owed->left++;
		err = troupe->door.order(troupe->door.arg, agent, &mine, e);
	}
	free(mine.arm.faults);
	return err;
}

static bool holds(const struct troupe *troupe, size_t agent, uint32_t id)
{
	for (size_t i = 0; i < troupe->n_held; i++)
		if (troupe->held[i].agent == agent && (!id || troupe->held[i].id == id))
			return true;
	return false;
}

/* That an order is about; NULL: it is for all. */
static const char *box_of(const struct message_order *order)
{
	switch (order->kind) {
	case ORDER_START:
		return order->start.box;
	case ORDER_SIGNAL:
		return order->signal.box;
	case ORDER_ATTACH:
		return order->attach.box;
	case ORDER_BEGIN:
	case ORDER_MARK:
	case ORDER_FINISH:
	case ORDER_QUIT:
	case ORDER_ARM:
	case ORDER_LIFT:
	case ORDER_NONE:
		break;
	}
	return NULL;
}

int troupe_order(struct troupe *troupe, const struct message_order *order, struct error *e)
{
	const char *box = box_of(order);
	size_t only = box ? cast_agent_of(troupe->cast, box) : SIZE_MAX;
	struct owed *owed;
	int err = 0;

	if (box && only == SIZE_MAX)
		return error_set(e, -EINVAL, "an order for a box that the run does not have");
	owed = owed_add(troupe, order->id, order->kind);
	if (!owed)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < troupe->cast->n_agents && !err; i++) {
		if ((only != SIZE_MAX && i != only) || (order->kind == ORDER_LIFT && !holds(troupe, i, order->lift)))
			continue;
		if (order->kind == ORDER_ARM) {
			err = arm_one(troupe, owed, i, order, e);
			continue;
		}
		owed->waiting[i] = true;
		owed->left++;
		err = order->kind == ORDER_BEGIN ? begin_one(troupe, i, order, e) :
						   troupe->door.order(troupe->door.arg, i, order, e);
	}
	if (!err && !owed->left) {
		owed_remove(troupe, owed);
		err = error_set(e, -EINVAL, "an order that is about no box of the run");
	}
	return err;
}

static void text_set(char **to, const char *text, int *err)
{
	free(*to);
	*to = strdup(text ? text : "");
	if (!*to)
		*err = -ENOMEM;
}

/* Keeps what an agent said of its boxes. One that it does not have is not believed. */
static int boxes_take(struct troupe *troupe, size_t agent, const struct message_reply *reply)
{
	int err = 0;

	for (size_t i = 0; i < troupe->cast->n_boxes; i++) {
		if (troupe->cast->boxes[i].agent != agent)
			continue;
		for (size_t k = 0; k < reply->n_boxes; k++)
			if (!strcmp(reply->boxes[k].name, troupe->cast->boxes[i].name)) {
				text_set(&troupe->boxes[i].name, reply->boxes[k].name, &err);
				text_set(&troupe->boxes[i].address, reply->boxes[k].address, &err);
				text_set(&troupe->boxes[i].address6, reply->boxes[k].address6, &err);
			}
	}
	return err;
}

static bool boxes_missing(const struct troupe *troupe)
{
	for (size_t i = 0; i < troupe->cast->n_boxes; i++)
		if (!troupe->boxes[i].name || !troupe->boxes[i].address || !troupe->boxes[i].address6)
			return true;
	return false;
}

/* Tells those that began to finish. False: there is nobody. */
static bool undo(struct troupe *troupe, struct error *e)
{
	struct message_order finish = { .id = ID_UNDO, .kind = ORDER_FINISH };
	struct owed *owed = owed_add(troupe, ID_UNDO, ORDER_FINISH);

	for (size_t i = 0; owed && i < troupe->cast->n_agents; i++)
		if (troupe->began[i]) {
			owed->waiting[i] = true;
			owed->left++;
			troupe->door.order(troupe->door.arg, i, &finish, e);
		}
	if (owed && !owed->left)
		owed_remove(troupe, owed);
	else if (owed)
		return true;
	return false;
}

static const struct message *reply_make(struct troupe *troupe, const struct owed *owed, uint64_t id)
{
	struct message_reply *reply = &troupe->reply.reply;

	troupe->reply = (struct message){ .kind = MESSAGE_REPLY };
	snprintf(troupe->reply_error, sizeof(troupe->reply_error), "%s", owed->error);
	reply->id = id;
	reply->code = owed->code;
	reply->error = troupe->reply_error;
	reply->pid = owed->pid;
	if (owed->kind == ORDER_BEGIN && !owed->failed) {
		reply->boxes = troupe->boxes;
		reply->n_boxes = troupe->cast->n_boxes;
	}
	return &troupe->reply;
}

static void failure_take(struct owed *owed, int32_t code, const char *text)
{
	if (owed->failed)
		return;
	owed->failed = true;
	owed->code = code ? code : -EIO;
	snprintf(owed->error, sizeof(owed->error), "%s", *text ? text : strerror(-owed->code));
}

/* All have answered. NULL: the refusal waits until what was begun is undone. */
static const struct message *owed_done(struct troupe *troupe, struct owed *owed)
{
	const struct message *reply = NULL;
	struct owed done;

	if (owed->kind == ORDER_BEGIN && !owed->failed && boxes_missing(troupe))
		failure_take(owed, -EBADMSG, "an agent did not say what addresses its boxes have");
	done = *owed;
	done.waiting = NULL;
	owed_remove(troupe, owed);
	if (done.id == ID_UNDO) {
		done = (struct owed){ .kind = ORDER_BEGIN, .failed = true, .code = troupe->reply.reply.code };
		snprintf(done.error, sizeof(done.error), "%s", troupe->reply_error);
		return reply_make(troupe, &done, troupe->undoes);
	}
	reply = reply_make(troupe, &done, done.id);
	if (done.kind == ORDER_BEGIN && done.failed && undo(troupe, NULL)) {
		troupe->undoes = done.id;
		return NULL;
	}
	return reply;
}

const struct message *troupe_message(struct troupe *troupe, size_t agent, const struct message *message)
{
	const struct message_reply *reply = &message->reply;
	struct owed *owed = NULL;

	if (message->kind != MESSAGE_REPLY)
		return message;
	for (size_t i = 0; i < troupe->n_owed && !owed; i++)
		if (troupe->owed[i].id == reply->id)
			owed = &troupe->owed[i];
	if (!owed || !owed->waiting[agent])
		return NULL;
	owed->waiting[agent] = false;
	owed->left--;
	if (reply->code || *reply->error) {
		failure_take(owed, reply->code, reply->error);
	} else if (owed->kind == ORDER_BEGIN) {
		troupe->began[agent] = true;
		if (boxes_take(troupe, agent, reply) < 0)
			failure_take(owed, -ENOMEM, "out of memory");
	}
	owed->pid = reply->pid;
	return owed->left ? NULL : owed_done(troupe, owed);
}

bool troupe_waits(const struct troupe *troupe, size_t agent)
{
	for (size_t i = 0; i < troupe->n_owed; i++)
		if (troupe->owed[i].waiting[agent])
			return true;
	return false;
}
