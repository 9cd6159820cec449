/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One small story, told with one thing changed at a time: what changes its prints and what does not. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/print.h"
#include "proto/fault.h"
#include "tests/heap.h"

/* X(NAME, exact print is another, symmetric print is another) */
#define TWISTS(X)                                                                                  \
	X(NONE, false, false)                                                                      \
	X(MESSAGES_SWAPPED, true, true)	 /* a asks on its second connection first */               \
	X(ONE_MORE, true, true)		 /* a sends another message that is received */            \
	X(NOT_RECEIVED, true, true)	 /* the server never reads b's question */                 \
	X(READ_IN_PART, true, true)	 /* ... or only its beginning */                           \
	X(NO_REPLY, true, true)		 /* b gets no answer */                                    \
	X(ACCEPTED_EARLIER, true, true)	 /* b is accepted between a's connections */               \
	X(CLIENTS_SWAPPED, true, false)	 /* b does what a did, and a what b did */                 \
	X(OTHER_WORKER, false, false)	 /* the second worker thread answers b, not the first */   \
	X(MAIN_ANSWERS, true, true)	 /* the thread that accepts answers b itself */            \
	X(IDLE_WORKER, false, false)	 /* a third worker thread that never does anything */      \
	X(IDLE_CHILD, false, false)	 /* a child process that never does anything */            \
	X(OTHER_PORT, true, true)	 /* b asks at another port */                              \
	X(REFUSED, true, true)		 /* b is refused there */                                  \
	X(OTHER_ERROR, true, true)	 /* ... for another reason */                              \
	X(FAILS, true, true)		 /* a ends with status 1 */                                \
	X(KILLED, true, true)		 /* a is killed */                                         \
	X(SERVER_DIES, true, true)	 /* the server ends before the outcome */                  \
	X(CLOSE_UNSEEN, false, false)	 /* the server does not read the end of a's connection */  \
	X(CLOSE_MATTERS, true, true)	 /* it does, and then asks b something */                  \
	X(RESET_MATTERS, true, true)	 /* ... and what it sees is a reset */                     \
	X(HALF_CLOSED, true, true)	 /* a says that it will send no more before it is answered */ \
	X(TEARDOWN, false, false)	 /* another message after the outcome */                   \
	X(SMALL_PIECES, false, false)	 /* what a sends is sent and received bit by bit */        \
	X(ONE_RECEIVE, false, false)	 /* both messages of a connection in one receive */        \
	X(EXECUTES, true, true)		 /* a replaces its program before it connects */           \
	X(ARMED, false, false)		 /* a fault waits for b's question, in vain */             \
	X(WOULD_FIRE, false, false)	 /* ... or its moment comes, in a dry run */               \
	X(HELD, true, true)		 /* b's question is held, and comes */                     \
	X(CUT, true, true)		 /* b's question is lost to a fault */                     \
	X(CUT_ONEWAY, true, true)	 /* ... of another kind */                                 \
	X(PARTED, true, true)		 /* ... that stands between the boxes */

enum twist {
#define X(NAME, exact, symmetric) NAME,
	TWISTS(X)
#undef X
	N_TWISTS,
};

static const struct {
	const char *name;
	bool exact, symmetric;
} twists[] = {
#define X(NAME, exact, symmetric) { #NAME, exact, symmetric },
	TWISTS(X)
#undef X
};

enum { A = 1, B, SERVER, CHILD };
enum { A1 = 1, A2, B1 }; /* connections: end 2k - 1 of the connector, 2k of the acceptor */

struct story {
	struct trace trace;
	uint64_t now, order[8], sent[8];
	uint32_t numbers[8];
};

static struct event *happens(struct story *s, uint32_t process, uint32_t thread, enum event_kind kind, uint32_t end)
{
	struct event *event = trace_event_add(&s->trace);

	*event = (struct event){ .kind = kind, .process = process, .thread = thread, .end = end, .box = process };
	event->enter_ns = ++s->now;
	event->return_ns = ++s->now;
	event->order = process ? ++s->order[process] : 0;
	event->seq = s->now;
	return event;
}

static void lives(struct story *s, uint32_t index, const char *name)
{
	trace_process_at(&s->trace, index)->name = strdup(name);
	s->trace.processes[index].box = index;
	trace_box_at(&s->trace, index)->name = strdup(name);
	happens(s, index, 0, EVENT_START, 0);
}

static uint32_t client_end(int connection)
{
	return 2 * connection - 1;
}

static uint32_t server_end(int connection)
{
	return 2 * connection;
}

static void connects(struct story *s, uint32_t process, int connection, const char *target, int error)
{
	struct trace_end *end = trace_end_at(&s->trace, client_end(connection));

	end->role = END_CONNECTOR;
	end->process = process;
	end->ordinal = connection == A2 ? 2 : 1;
	end->target = strdup(target);
	end->error = error;
	end->keyed = !error;
	end->first_local = 100 + connection;
	end->first_remote = 200 + connection;
	happens(s, process, 0, EVENT_CONNECT, client_end(connection))->value = error;
}

static void accepts(struct story *s, int connection)
{
	struct trace_end *end = trace_end_at(&s->trace, server_end(connection));

	end->role = END_ACCEPTOR;
	end->keyed = true;
	end->first_local = 200 + connection;
	end->first_remote = 100 + connection;
	happens(s, SERVER, 0, EVENT_ACCEPT, server_end(connection));
}

static void sends(struct story *s, uint32_t process, uint32_t thread, uint32_t end, uint64_t size, bool pieces)
{
	uint32_t number = ++s->numbers[end];

	for (uint64_t left = size, n; left; left -= n) {
		struct event *event = happens(s, process, thread, EVENT_SEND, end);

		n = pieces && left > 1 ? left / 2 : left;
		event->value = n;
		event->pos = s->sent[end];
		event->message = number;
		event->flags = left < size ? EVENT_F_CONTINUED : 0;
		s->sent[end] += n;
	}
}

static void receives(struct story *s, uint32_t process, uint32_t thread, uint32_t end, uint64_t pos, uint64_t size, bool pieces)
{
	for (uint64_t left = size, n; left; left -= n) {
		struct event *event = happens(s, process, thread, EVENT_RECV, end);

		n = pieces && left > 1 ? left / 3 + 1 : left;
		event->value = n;
		event->pos = pos;
		pos += n;
	}
}

static void sees_end(struct story *s, uint32_t process, uint32_t thread, uint32_t end, uint64_t pos, int error)
{
	struct event *event = happens(s, process, thread, EVENT_RECV, end);

	event->value = error;
	event->pos = pos;
}

static void closes(struct story *s, uint32_t process, uint32_t end, unsigned flags)
{
	struct event *event = happens(s, process, 0, EVENT_CLOSE, end);

	event->flags = flags;
	event->pos = s->sent[end];
}

static void spawns(struct story *s, uint32_t thread)
{
	struct event *event = happens(s, SERVER, 0, EVENT_SPAWN, 0);

	event->flags = EVENT_F_THREAD;
	event->value = thread;
}

static void begins(struct story *s, enum twist twist)
{
	lives(s, A, twist == CLIENTS_SWAPPED ? "b" : "a");
	lives(s, B, twist == CLIENTS_SWAPPED ? "a" : "b");
	lives(s, SERVER, "server");
	happens(s, SERVER, 0, EVENT_LISTEN, 0)->value = 7000;
	spawns(s, 1);
	spawns(s, 2);
	if (twist == IDLE_WORKER) {
		spawns(s, 3);
		happens(s, SERVER, 3, EVENT_EXIT, 0)->flags = EVENT_F_THREAD;
	}
	if (twist == IDLE_CHILD) {
		happens(s, SERVER, 0, EVENT_SPAWN, 0)->peer = CHILD;
		lives(s, CHILD, "server.1");
		s->trace.processes[CHILD].parent = SERVER;
		happens(s, CHILD, 0, EVENT_EXIT, 0);
	}
	if (twist == EXECUTES)
		happens(s, A, 0, EVENT_EXEC, 0);
}

/* What is said of a fault; `who` 0: of no process. */
static void fault(struct story *s, uint32_t who, enum event_kind kind, const char *line)
{
	struct event *event = happens(s, who, 0, kind, who ? client_end(B1) : 0);

	event->value = 1;
	event->message = who ? 1 : 0;
	event->text = (uint32_t)s->trace.n_texts + 1;
	*trace_text_at(&s->trace, event->text) = strdup(line);
}

static void faults(struct story *s, enum twist twist)
{
	static const char *const lines[N_TWISTS] = {
		[ARMED] = "cut b>server:7000#1/1", [WOULD_FIRE] = "cut b>server:7000#1/1", [CUT] = "cut b>server:7000#1/1",
		[HELD] = "hold b>server:7000#1/1 for 1s", [CUT_ONEWAY] = "cut b>server:7000#1/1 oneway", [PARTED] = "isolate b",
	};

	if (!lines[twist])
		return;
	fault(s, 0, EVENT_ARMED, lines[twist]);
	if (twist != ARMED)
		fault(s, twist == PARTED ? 0 : B, EVENT_FIRED, lines[twist]);
	if (twist == WOULD_FIRE)
		*trace_receipt_add(&s->trace) = (struct fault_receipt){ .id = 1, .state = FAULT_STATE_WOULD_FIRE };
}

/* a's two messages on one connection, one on another; b's question and its answer. */
static void goes_on(struct story *s, enum twist twist)
{
	bool pieces = twist == SMALL_PIECES;
	bool alone = twist == REFUSED || twist == OTHER_ERROR;
	uint32_t worker = twist == MAIN_ANSWERS ? 0 : twist == OTHER_WORKER ? 2 : 1;

	connects(s, A, A1, "server:7000", 0);
	connects(s, A, A2, "server:7000", 0);
	connects(s, B, B1, twist == OTHER_PORT ? "server:7001" : "server:7000",
		 twist == REFUSED ? -ECONNREFUSED : twist == OTHER_ERROR ? -ETIMEDOUT : 0);
	if (twist == MESSAGES_SWAPPED)
		sends(s, A, 0, client_end(A2), 30, false);
	sends(s, A, 0, client_end(A1), 10, pieces);
	sends(s, A, 0, client_end(A1), 20, pieces);
	if (twist != MESSAGES_SWAPPED)
		sends(s, A, 0, client_end(A2), 30, false);
	if (twist == ONE_MORE)
		sends(s, A, 0, client_end(A2), 30, false);
	accepts(s, A1);
	if (twist == ACCEPTED_EARLIER)
		accepts(s, B1);
	accepts(s, A2);
	if (twist != ACCEPTED_EARLIER && !alone)
		accepts(s, B1);
	receives(s, SERVER, 0, server_end(A1), 0, twist == ONE_RECEIVE ? 30 : 10, pieces);
	if (twist != ONE_RECEIVE)
		receives(s, SERVER, 0, server_end(A1), 10, 20, pieces);
	receives(s, SERVER, 0, server_end(A2), 0, twist == ONE_MORE ? 60 : 30, false);
	if (alone)
		return;
	faults(s, twist);
	sends(s, B, 0, client_end(B1), 40, false);
	if (twist == CUT || twist == CUT_ONEWAY || twist == PARTED)
		return;
	if (twist == HALF_CLOSED)
		closes(s, B, client_end(B1), EVENT_F_SHUTDOWN);
	if (twist != NOT_RECEIVED)
		receives(s, SERVER, worker, server_end(B1), 0, twist == READ_IN_PART ? 15 : 40, false);
	sends(s, SERVER, worker, server_end(B1), 50, false);
	if (twist == NO_REPLY)
		return;
	receives(s, B, 0, client_end(B1), 0, 50, false);
}

static void ends(struct story *s, enum twist twist)
{
	struct event *reset;
	uint32_t text;

	closes(s, A, client_end(A1), twist == RESET_MATTERS ? EVENT_F_RST : 0);
	if (twist == RESET_MATTERS) {
		reset = happens(s, 0, 0, EVENT_RESET, server_end(A1));
		reset->pos = 30;
		sees_end(s, SERVER, 0, server_end(A1), 30, -ECONNRESET);
	} else if (twist != CLOSE_UNSEEN) {
		sees_end(s, SERVER, 0, server_end(A1), 30, 0);
		sees_end(s, SERVER, 0, server_end(A1), 30, 0);
		closes(s, SERVER, server_end(A1), 0);
	}
	if (twist == CLOSE_MATTERS || twist == RESET_MATTERS) {
		sends(s, SERVER, 0, server_end(B1), 5, false);
		receives(s, B, 0, client_end(B1), 50, 5, false);
	}
	happens(s, A, 0, EVENT_EXIT, 0)->value = twist == FAILS ? 1 << 8 : twist == KILLED ? 9 : 0;
	happens(s, B, 0, EVENT_EXIT, 0);
	if (twist == SERVER_DIES)
		happens(s, SERVER, 0, EVENT_EXIT, 0);
	text = (uint32_t)s->trace.n_texts + 1;
	*trace_text_at(&s->trace, text) = strdup("outcome");
	happens(s, 0, 0, EVENT_MARK, 0)->text = text;
	if (twist == TEARDOWN)
		sends(s, SERVER, 0, server_end(A2), 7, false);
	if (twist != SERVER_DIES)
		happens(s, SERVER, 0, EVENT_EXIT, 0)->value = 15;
}

static struct print print_of(const struct trace *trace, const char *const *roles)
{
	struct graph *graph = NULL;
	struct print print;
	struct error e;

	ck_assert_int_eq(graph_build(trace, GRAPH_ORDER_PROCESS, &graph, &e), 0);
	ck_assert_int_eq(print_graph(graph, roles, &print), 0);
	graph_free(graph);
	return print;
}

static void tell(enum twist twist, struct print *ret_exact, struct print *ret_symmetric)
{
	static const char *const roles[] = { NULL, "client", "client", NULL, NULL };
	struct story s = { .now = 0 };

	trace_init(&s.trace);
	begins(&s, twist);
	goes_on(&s, twist);
	ends(&s, twist);
	*ret_exact = print_of(&s.trace, NULL);
	*ret_symmetric = print_of(&s.trace, roles);
	trace_fini(&s.trace);
}

/* Each twist changes the prints, or does not, as the table says; and no two that change one make the same of it. */
START_TEST(what_matters_and_what_does_not)
{
	struct print exact[N_TWISTS], symmetric[N_TWISTS];
	unsigned changed = 0;

	for (unsigned i = 0; i < N_TWISTS; i++) {
		tell(i, &exact[i], &symmetric[i]);
		ck_assert_msg(!exact[i].approximate && !symmetric[i].approximate, "%s is approximate", twists[i].name);
		ck_assert_msg(!!print_compare(&exact[i], &exact[NONE]) == twists[i].exact, "%s: the exact print is %s",
			      twists[i].name, twists[i].exact ? "the same" : "another");
		ck_assert_msg(!!print_compare(&symmetric[i], &symmetric[NONE]) == twists[i].symmetric,
			      "%s: the symmetric print is %s", twists[i].name, twists[i].symmetric ? "the same" : "another");
		changed += twists[i].exact;
		for (unsigned k = 0; k < i; k++)
			ck_assert_msg(!twists[i].exact || !twists[k].exact || print_compare(&exact[i], &exact[k]),
				      "%s and %s have one print", twists[i].name, twists[k].name);
	}
	ck_assert_uint_gt(changed, N_TWISTS / 2);
}
END_TEST

/* The same fault at the other member of a role, whose name its line has: the same up to the roles, and only so. */
START_TEST(faults_are_symmetric)
{
	static const char *const roles[] = { NULL, "client", "client", NULL, NULL };
	struct print exact[2], symmetric[2];

	for (unsigned i = 0; i < 2; i++) {
		struct story s = { .now = 0 };

		trace_init(&s.trace);
		begins(&s, i ? CLIENTS_SWAPPED : CUT);
		connects(&s, B, B1, "server:7000", 0);
		accepts(&s, B1);
		fault(&s, B, EVENT_FIRED, i ? "cut a>server:7000#1/1" : "cut b>server:7000#1/1");
		sends(&s, B, 0, client_end(B1), 40, false);
		exact[i] = print_of(&s.trace, NULL);
		symmetric[i] = print_of(&s.trace, roles);
		trace_fini(&s.trace);
	}
	ck_assert(print_compare(&exact[0], &exact[1]));
	ck_assert(!print_compare(&symmetric[0], &symmetric[1]));
}
END_TEST

/* A server that forks for each connection: its child answers, and one of them lets go of the socket last. */
static struct print forking_print(bool late, bool reaped, bool spawns_after)
{
	struct story s = { .now = 0 };
	struct event *event;
	struct print print;

	trace_init(&s.trace);
	lives(&s, A, "a");
	lives(&s, SERVER, "server");
	connects(&s, A, A1, "server:7000", 0);
	connects(&s, A, A2, "server:7000", 0);
	sends(&s, A, 0, client_end(A1), 10, false);
	accepts(&s, A1);
	happens(&s, SERVER, 0, EVENT_SPAWN, 0)->peer = CHILD;
	lives(&s, CHILD, "server.1");
	s.trace.processes[CHILD].parent = SERVER;
	receives(&s, CHILD, 0, server_end(A1), 0, 10, false);
	sends(&s, CHILD, 0, server_end(A1), 10, false);
	receives(&s, A, 0, client_end(A1), 0, 10, false);
	closes(&s, late ? SERVER : CHILD, server_end(A1), 0);
	happens(&s, CHILD, 0, EVENT_EXIT, 0);
	if (reaped)
		happens(&s, SERVER, 0, EVENT_WAIT, 0)->peer = CHILD;
	if (spawns_after) {
		event = happens(&s, SERVER, 0, EVENT_SPAWN, 0);
		event->flags = EVENT_F_THREAD;
		event->value = 1;
		happens(&s, SERVER, 1, EVENT_LISTEN, 0)->value = 7001;
	}
	accepts(&s, A2);
	print = print_of(&s.trace, NULL);
	trace_fini(&s.trace);
	return print;
}

/* Who closes a shared socket last, and when a child is reaped, is luck; unless the parent had to wait before it went on to spawn. */
START_TEST(luck_of_forking)
{
	struct print usual = forking_print(false, false, false), other;

	for (int i = 1; i < 4; i++) {
		other = forking_print(i & 1, i & 2, false);
		ck_assert_msg(!print_compare(&usual, &other), "%d", i);
	}
	usual = forking_print(false, false, true);
	other = forking_print(false, true, true);
	ck_assert_int_ne(print_compare(&usual, &other), 0);
}
END_TEST

/* n processes of one role, each tries to connect to the next: a ring, in which nobody is the first. Each does something else, too. */
static void make_ring(struct trace *trace, unsigned n, unsigned begin, unsigned more, const char **roles)
{
	char name[16], target[24];

	trace_init(trace);
	for (unsigned i = 1; i <= n; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		trace_box_at(trace, i)->name = strdup(name);
		trace_process_at(trace, i)->name = strdup(name);
		trace->processes[i].box = i;
		roles[i] = "node";
	}
	for (unsigned i = 1; i <= n; i++) {
		unsigned who = 1 + (i + begin) % n;
		struct trace_end *end = trace_end_at(trace, i);
		struct event *event = trace_event_add(trace);

		snprintf(target, sizeof(target), "n%u:1", 1 + who % n);
		end->role = END_CONNECTOR;
		end->process = who;
		end->ordinal = 1;
		end->target = strdup(target);
		end->error = -ECONNREFUSED;
		*event = (struct event){ .kind = EVENT_CONNECT, .process = who, .end = i, .order = 1, .value = -ECONNREFUSED };
		for (unsigned k = 0; k < more; k++)
			*trace_event_add(trace) = (struct event){ .kind = EVENT_EXEC, .process = who, .order = 2 + k };
	}
}

static struct print ring_print(unsigned n, unsigned begin, unsigned more)
{
	const char **roles = calloc(n + 1, sizeof(*roles));
	struct trace trace;
	struct print print;

	make_ring(&trace, n, begin, more, roles);
	print = print_of(&trace, roles);
	trace_fini(&trace);
	free(roles);
	return print;
}

/* Whoever is named first, a ring has one print; one that is larger is another. */
START_TEST(symmetry_of_a_ring)
{
	struct print small = ring_print(7, 0, 1), other = ring_print(7, 3, 1), large = ring_print(8, 0, 1);

	ck_assert(!small.approximate && !large.approximate);
	ck_assert_int_eq(print_compare(&small, &other), 0);
	ck_assert_int_ne(print_compare(&small, &large), 0);
}
END_TEST

/* Past the bound the print says that it is approximate; it still is the same for equal runs, and not for just any other. */
START_TEST(past_the_bound)
{
	struct print huge = ring_print(700, 0, 50), other = ring_print(700, 99, 50), larger = ring_print(701, 0, 50);

	ck_assert(huge.approximate && larger.approximate);
	ck_assert_int_eq(print_compare(&huge, &other), 0);
	ck_assert_int_ne(print_compare(&huge, &larger), 0);
}
END_TEST

/* Members that did the very same, each by itself, can be put into any order: exact up to large roles. */
START_TEST(many_alike)
{
	static const char *const roles[] = { NULL, [1 ... 60] = "node" };
	struct print print;
	struct trace trace;
	char name[16];

	trace_init(&trace);
	for (unsigned i = 1; i <= 60; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		trace_process_at(&trace, i)->name = strdup(name);
		*trace_event_add(&trace) = (struct event){ .kind = EVENT_START, .process = i, .order = 1 };
	}
	print = print_of(&trace, roles);
	ck_assert(!print.approximate);
	trace_fini(&trace);
}
END_TEST

/* An empty trace has a print, too. */
START_TEST(nothing_at_all)
{
	struct trace trace;
	struct print print;

	trace_init(&trace);
	print = print_of(&trace, NULL);
	ck_assert(!print.approximate && (print.high || print.low));
	trace_fini(&trace);
}
END_TEST

#ifndef SANITIZED
/* Prints a graph with each allocation failing in turn. Returns how many there were. */
static long fail_each(const struct trace *trace, const char *const *roles)
{
	struct print print, same = print_of(trace, roles);
	struct graph *graph = NULL;
	struct error e;
	bool failed = true;
	long before;
	int err;

	ck_assert_int_eq(graph_build(trace, GRAPH_ORDER_PROCESS, &graph, &e), 0);
	for (long n = 1; failed; n++) {
		before = heap.balance;
		heap_arm(n);
		err = print_graph(graph, roles, &print);
		failed = heap_disarm();
		ck_assert_msg(heap.balance == before, "allocation %ld: %ld not freed", heap.fail_at, heap.balance - before);
		ck_assert_msg(err == -ENOMEM || (!err && !print_compare(&print, &same)), "allocation %ld: %d", heap.fail_at, err);
	}
	graph_free(graph);
	return heap.fail_at - 1;
}

/* Whichever allocation fails: no memory, said so, or no harm done; and nothing is kept. */
START_TEST(no_memory)
{
	static const char *const roles[] = { NULL, "client", "client", NULL, NULL };
	const char *nodes[10];
	struct story s = { .now = 0 };
	struct trace ring;

	trace_init(&s.trace);
	begins(&s, CLOSE_MATTERS);
	goes_on(&s, CLOSE_MATTERS);
	ends(&s, CLOSE_MATTERS);
	ck_assert_int_gt(fail_each(&s.trace, roles), 30);
	trace_fini(&s.trace);
	make_ring(&ring, 6, 0, 1, nodes);
	ck_assert_int_gt(fail_each(&ring, nodes), 60);
	trace_fini(&ring);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("print");
	TCase *tc = tcase_create("stories");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, what_matters_and_what_does_not);
	tcase_add_test(tc, faults_are_symmetric);
	tcase_add_test(tc, luck_of_forking);
	tcase_add_test(tc, symmetry_of_a_ring);
	tcase_add_test(tc, past_the_bound);
	tcase_add_test(tc, many_alike);
	tcase_add_test(tc, nothing_at_all);
#ifndef SANITIZED
	tcase_add_test(tc, no_memory);
#endif
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
