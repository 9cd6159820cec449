/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See query.h. Which file answers what; and how answers are made. */
#include "collector/query_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* X(KIND of request, its field, mode of the store, KIND of answer, its field) */
#define ANSWERS(X)                                                                                                   \
	X(DESCRIBE_EXPERIMENT, describe_experiment, STORE_READ, EXPERIMENT, experiment)                              \
	X(LIST_RUNS, list_runs, STORE_READ, RUNS, runs)                                                              \
	X(REMOVE_RUN, remove_run, STORE_WRITE, REMOVED, removed)                                                     \
	X(GET_RUN, get_run, STORE_READ, RUN_INFO, run_info)                                                          \
	X(GET_MESSAGES, get_messages, STORE_READ, MESSAGES, messages)                                                \
	X(GET_PAST, get_past, STORE_READ, PAST, past)                                                                \
	X(GET_SUPPORTS, get_supports, STORE_READ, SUPPORTS, supports)                                                \
	X(GET_HISTORY, get_history, STORE_READ, HISTORY, history)                                                    \
	X(LIST_HYPOTHESES, list_hypotheses, STORE_READ, HYPOTHESES, hypotheses)

bool query_answers(enum api_request_kind kind, enum store_mode *ret_mode)
{
#define X(KIND, ask, mode, ANSWER, answer)                                                                           \
	if (kind == API_##KIND) {                                                                                    \
		*ret_mode = mode;                                                                                    \
		return true;                                                                                         \
	}
	ANSWERS(X)
#undef X
	return false;
}

int query_answer(struct store *store, const struct api_request *request, struct api_answer *ret_answer, struct error *e)
{
	struct api_answer answer = { .id = request->id };
	int err = error_set(e, -EOPNOTSUPP, "requests of that kind are not about runs that are kept");

#define X(KIND, ask, mode, ANSWER, field)                                                                            \
	if (request->kind == API_##KIND) {                                                                           \
		answer.kind = API_##ANSWER;                                                                          \
		answer.field = QUERY_MAKE(field);                                                                    \
		err = answer.field ? query_##ask(store, request->ask, answer.field, e) : -ENOMEM;                    \
	}
	ANSWERS(X)
#undef X
	if (!err) {
		*ret_answer = answer;
		return 0;
	}
	api_answer_fini(&answer);
	return err == -ENOMEM ? error_set(e, err, "no memory for the answer") : err;
}

void *query_make(const ProtobufCMessageDescriptor *descriptor)
{
	void *message = malloc(descriptor->sizeof_message);

	if (message)
		protobuf_c_message_init(descriptor, message);
	return message;
}

int query_text(char **field, const char *text)
{
	char *copy;

	if (!text || !*text)
		return 0;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	*field = copy;
	return 0;
}

int query_bytes(ProtobufCBinaryData *field, const void *bytes, size_t size)
{
	if (!size)
		return 0;
	field->data = malloc(size);
	if (!field->data)
		return -ENOMEM;
	memcpy(field->data, bytes, size);
	field->len = size;
	return 0;
}

/* Room for one more: it doubles at each power of two. */
static int room(void **array, size_t n)
{
	void **grown;

	if (n & (n - 1)) /* neither 0 nor one of them */
		return 0;
	grown = realloc(*array, (n ? 2 * n : 1) * sizeof(void *));
	if (!grown)
		return -ENOMEM;
	*array = grown;
	return 0;
}

int query_row_add(void *rows, size_t *n, void *row)
{
	void ***array = rows;

	if (!row)
		return -ENOMEM;
	if (room((void **)array, *n) < 0) {
		protobuf_c_message_free_unpacked(row, NULL);
		return -ENOMEM;
	}
	(*array)[(*n)++] = row;
	return 0;
}

int query_text_add(char ***texts, size_t *n, const char *text, size_t size)
{
	char *copy = strndup(text, size);

	if (!copy || room((void **)texts, *n) < 0) {
		free(copy);
		return -ENOMEM;
	}
	(*texts)[(*n)++] = copy;
	return 0;
}

int query_lines_add(char ***rows, size_t *n, const char *text)
{
	int err = 0;

	for (const char *end; text && *text && !err; text = end + (*end == '\n')) {
		end = strchrnul(text, '\n');
		err = query_text_add(rows, n, text, (size_t)(end - text));
	}
	return err;
}

int query_run_number(struct store *store, uint64_t run, uint64_t *ret_run, struct error *e)
{
	*ret_run = run;
	if (run > INT64_MAX)
		return error_set(e, -ENOENT, "there is no run %llu", (unsigned long long)run);
	return run ? 0 : run_find(store, "last", ret_run, e);
}

static int order_of(const char *text, enum graph_order *ret_order, struct error *e)
{
	if (!*text || !strcmp(text, "process"))
		*ret_order = GRAPH_ORDER_PROCESS;
	else if (!strcmp(text, "thread"))
		*ret_order = GRAPH_ORDER_THREAD;
	else
		return error_set(e, -EINVAL, "order '%s': it is process or thread", text);
	return 0;
}

int query_run_load(struct store *store, uint64_t run, struct run **ret_run, struct error *e)
{
	int err = run_load(store, run, ret_run, e);

	return err == -EBADMSG || err == -EINVAL ? -EIO : err;
}

int query_run_open(struct store *store, uint64_t id, const char *order, struct query_run *ret, struct error *e)
{
	struct query_run q = { .run = NULL };
	enum graph_order which = GRAPH_ORDER_PROCESS;
	int err = order_of(order, &which, e);

	if (err)
		return err;
	err = query_run_number(store, id, &id, e);
	if (!err)
		err = query_run_load(store, id, &q.run, e);
	if (!err)
		err = graph_build(&q.run->trace, which, &q.graph, e);
	if (err == -EBADMSG || err == -EINVAL) /* what it recorded makes no sense */
		err = -EIO;
	if (err)
		query_run_fini(&q);
	else
		*ret = q;
	return err;
}

int query_lineage_open(struct store *store, uint64_t id, const char *order, struct query_run *ret, struct error *e)
{
	struct query_run q = { .run = NULL };
	int err = query_run_open(store, id, order, &q, e);

	if (!err)
		err = lineage_new(q.graph, &q.lineage);
	if (!err)
		err = lineage_times(q.lineage, &q.times);
	if (err)
		query_run_fini(&q);
	else
		*ret = q;
	return err;
}

void query_run_fini(struct query_run *q)
{
	free(q->times);
	lineage_free(q->lineage);
	graph_free(q->graph);
	run_free(q->run);
	*q = (struct query_run){ .run = NULL };
}
