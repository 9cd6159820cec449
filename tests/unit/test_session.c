/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A session with an agent that is this program itself, started under the name tfj: it speaks the protocol over the
 * real socket, plays a system that does nothing, and misbehaves as $FAKE says. Needs no root.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "collector/session.h"
#include "lib/claim.h"
#include "proto/wire.h"
#include "tests/scratch.h"

/* ---- the agent ---- */

struct fake {
	void *socket;
	uint64_t run, number, acknowledged;
	unsigned orders, die_at, interrupt_at, interrupts;
	bool deaf, quit;
	uint64_t lost;
	uint64_t fault_end; /* when the effect of the fault ended; the outcome is at 1000 */
	char fault[64];	    /* that was armed */
};

static void fake_send(struct fake *fake, const struct message *message)
{
	unsigned char *bytes;
	size_t size;

	if (message_encode(message, &bytes, &size) < 0 || zmq_send(fake->socket, bytes, size, 0) < 0)
		exit(9);
	free(bytes);
}

/* What became of the fault, and when the outcome was. */
static void fake_receipt(struct fake *fake, struct trace *part)
{
	trace_text_at(part, 1);
	part->texts[1] = strdup("outcome");
	part->events[0].text = 1;
	part->events[0].enter_ns = part->events[0].return_ns = 1000;
	*trace_receipt_add(part) = (struct fault_receipt){ .id = 1, .state = FAULT_STATE_EXPIRED, .fired_ns = 5, .packets = 2,
							   .ended_ns = fake->fault_end, .line = strdup(fake->fault) };
}

static void fake_batch(struct fake *fake, bool last)
{
	static const uint32_t one = 1;
	struct wire_batch head = { .run = fake->run, .number = ++fake->number, .last = last, .lost = fake->lost };
	struct message message = { .kind = MESSAGE_BATCH };
	struct wire_rows rows = { 0 };
	struct trace part;
	unsigned char *bytes;
	size_t size;

	trace_init(&part);
	trace_event_add(&part)->kind = EVENT_MARK;
	part.events[0].seq = fake->number;
	if (last && fake->fault_end && *fake->fault) {
		fake_receipt(fake, &part);
		rows.texts = &one;
		rows.n_texts = 1;
	}
	if (wire_batch_encode(&head, &part, &rows, &bytes, &size) < 0)
		exit(9);
	message.batch.bytes = bytes;
	message.batch.size = size;
	fake_send(fake, &message);
	free(bytes);
	trace_fini(&part);
}

static void fake_exited(struct fake *fake, char *name, uint32_t status)
{
	fake_send(fake, &(struct message){ .kind = MESSAGE_EXITED, .exited = { .name = name, .status = status } });
}

/* A user who loses patience, as often as asked. */
static void fake_interrupt(struct fake *fake)
{
	for (unsigned i = 0; i < fake->interrupts; i++) {
		if (i)
			poll(NULL, 0, 120); /* two wishes, not one */
		kill(getppid(), SIGTERM);
	}
	fake->deaf = fake->interrupts > 1;
}

static void fake_order(struct fake *fake, struct message_order *order)
{
	static struct trace_box box = { "a", "10.0.0.1", "" };
	struct message reply = { .kind = MESSAGE_REPLY, .reply = { .id = order->id, .error = "" } };

	if (++fake->orders == fake->die_at)
		kill(getpid(), SIGKILL);
	if (fake->orders == fake->interrupt_at)
		fake_interrupt(fake);
	if (fake->deaf)
		return;
	if (order->kind == ORDER_BEGIN) {
		fake->run = order->begin.run;
		fake->number = fake->acknowledged = 0;
		reply.reply.boxes = &box;
		reply.reply.n_boxes = 1;
	}
	if (order->kind == ORDER_ARM)
		snprintf(fake->fault, sizeof(fake->fault), "%s", order->arm.faults[0].text);
	fake->quit = order->kind == ORDER_QUIT;
	if (fake->quit)
		return;
	fake_batch(fake, order->kind == ORDER_FINISH);
	fake_send(fake, &reply);
	if (order->kind == ORDER_START && order->start.name[0] != 's' && !fake->interrupts)
		fake_exited(fake, order->start.name, 0);
	if (order->kind == ORDER_SIGNAL)
		fake_exited(fake, order->signal.name, (uint32_t)order->signal.signal);
}

/* What was acknowledged, for the test to compare with what is on disk. */
static void fake_acknowledged(struct fake *fake, uint64_t number)
{
	char path[256];
	FILE *f;

	fake->acknowledged = number;
	snprintf(path, sizeof(path), "%s/acknowledged", getenv("FAKE_FOLDER"));
	f = fopen(path, "w");
	fprintf(f, "%llu\n", (unsigned long long)number);
	fclose(f);
}

static void fake_touch(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", getenv("FAKE_FOLDER"), name);
	close(open(path, O_CREAT | O_WRONLY, 0600));
}

static int fake_main(char **argv)
{
	const char *how = getenv("FAKE");
	struct fake fake = { .socket = zmq_socket(zmq_ctx_new(), ZMQ_DEALER) };
	struct message hello = { .kind = MESSAGE_HELLO,
				 .hello = { .protocol = WIRE_PROTOCOL, .version = BOP_VERSION, .host = "h", .boot_id = "b",
					    .kernel = "k", .backend = "fake" } };
	static unsigned char frame[1 << 16];
	struct message message;
	int n;

	if (!strcmp(argv[1], "clean")) {
		fake_touch("cleaned");
		return 0;
	}
	sscanf(how, "die:%u", &fake.die_at);
	sscanf(how, "interrupt:%u:%u", &fake.interrupt_at, &fake.interrupts);
	sscanf(how, "fault:%lu", &fake.fault_end);
	fake.lost = !strcmp(how, "lost") ? 5 : 0;
	if (!strcmp(how, "refuses")) {
		fprintf(stderr, "tfj: this kernel has no BTF\n");
		return 1;
	}
	if (!strcmp(how, "old"))
		hello.hello.version = "0.0.1";
	zmq_connect(fake.socket, argv[2]);
	fake_send(&fake, &hello);
	while (!fake.quit || fake.acknowledged < fake.number) {
		n = zmq_recv(fake.socket, frame, sizeof(frame), 0);
		if (n < 0 || message_decode(frame, (size_t)n, MESSAGE_TO_AGENT, &message, NULL) < 0)
			return 9;
		if (message.kind == MESSAGE_ORDER)
			fake_order(&fake, &message.order);
		else if (message.kind == MESSAGE_ACK)
			fake_acknowledged(&fake, message.ack.number);
		else if (message.kind == MESSAGE_REFUSED)
			return 1;
		message_fini(&message);
	}
	fake_touch("quit");
	return 0;
}

/* ---- the tests ---- */

static char folder[64], path[128];
static char *argv_true[] = { "/bin/true", NULL }, *no_env[] = { NULL }, *boxes[] = { "a", NULL };
static struct experiment_process server = { .name = "s1", .box = "a", .run = argv_true, .env = no_env,
					    .stop_signal = SIGTERM };
static struct experiment_process workload = { .name = "w", .box = "a", .run = argv_true, .env = no_env,
					      .stop_signal = SIGTERM };
static const struct experiment x = {
	.name = "x", .path = "/x/e.yaml", .text = "", .boxes = boxes, .search_path = "/bin", .processes = &server,
	.n_processes = 1, .workloads = &workload, .n_workloads = 1, .check_box = "a", .check_run = argv_true,
	.timeout_ns = 60000000000, .ready_timeout_ns = 60000000000, .grace_ns = 60000000000,
};

static void setup(void)
{
	char self[256], link[128], search[128];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n] = '\0';
	scratch_name(folder, sizeof(folder), "test-bop-session-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/runs.db", folder);
	snprintf(link, sizeof(link), "%s/bin", folder);
	ck_assert_int_eq(mkdir(link, 0700), 0);
	snprintf(search, sizeof(search), "%s", link);
	snprintf(link, sizeof(link), "%s/bin/tfj", folder);
	ck_assert_int_eq(symlink(self, link), 0);
	setenv("PATH", search, 1);
	setenv("BOP_TMPDIR", folder, 1);
	setenv("FAKE_FOLDER", folder, 1);
	setenv("FAKE", "", 1);
}

static void teardown(void)
{
	claim_remove_tree(folder);
}

static bool there(const char *name)
{
	char file[256];

	snprintf(file, sizeof(file), "%s/%s", folder, name);
	return access(file, F_OK) == 0;
}

static uint64_t acknowledged(void)
{
	unsigned long long number = 0;
	char file[256];
	FILE *f;

	snprintf(file, sizeof(file), "%s/acknowledged", folder);
	f = fopen(file, "r");
	if (f) {
		ck_assert_int_eq(fscanf(f, "%llu", &number), 1);
		fclose(f);
	}
	return number;
}

static void nothing_left(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while ((entry = readdir(dir)))
		ck_assert_msg(strncmp(entry->d_name, "bop.", 4) != 0, "%s was left behind", entry->d_name);
	closedir(dir);
}

/* Opens a session, runs once, closes. The run is kept in *ret. */
static void run_with(const struct plan *plan, struct course_result *ret)
{
	struct session *session = NULL;
	struct store *store = NULL;
	struct error e = { "" };

	ck_assert_msg(session_open(NULL, false, &session, &e) == 0, "%s", e.text);
	ck_assert_msg(store_open(path, STORE_CREATE, &store, &e) == 0, "%s", e.text);
	ck_assert_msg(session_run(session, store, &x, plan, false, ret, &e) == 0, "%s", e.text);
	ck_assert_ptr_nonnull(ret->run);
	session_close(session);
	store_close(store);
	nothing_left();
}

static void run_once(struct course_result *ret)
{
	run_with(NULL, ret);
}

/*
 * A fault whose effect ended before the outcome, and that was not meant to, makes the outcome one that says nothing. The plan is kept
 * with the run in any case.
 */
START_TEST(fault_ends_early)
{
	static const struct {
		const char *fault, *how, *reason;
		enum outcome outcome;
	} cases[] = {
		{ "isolate a lease 1s", "fault:500", "fault 1 (isolate a lease 1s) ended before the outcome, which was good", OUTCOME_INCONCLUSIVE },
		{ "isolate a for 5s lease 1s", "fault:500",
		  "fault 1 (isolate a for 5s lease 1s) ended before the outcome, which was good", OUTCOME_INCONCLUSIVE },
		{ "isolate a for 1s lease 5s", "fault:500", "", OUTCOME_GOOD },
		{ "isolate a for 1s", "fault:500", "", OUTCOME_GOOD },
		{ "isolate a lease 1s", "fault:1000", "", OUTCOME_GOOD },
	};
	struct plan plan = { .n = 0 };
	struct course_result run;
	char lines[64];

	ck_assert(!plan_add(&plan, "p:1", cases[_i].fault, strlen(cases[_i].fault), NULL) && !plan_number(&plan, 1, NULL));
	plan.dry = true; /* is kept as well */
	setenv("FAKE", cases[_i].how, 1);
	run_with(&plan, &run);
	ck_assert_str_eq(run.reason, cases[_i].reason);
	ck_assert_int_eq(run.outcome, cases[_i].outcome);
	ck_assert_int_eq(run.run->row->outcome, cases[_i].outcome);
	snprintf(lines, sizeof(lines), "%s\n", cases[_i].fault);
	ck_assert_str_eq(run.run->row->plan, lines);
	ck_assert(run.run->row->dry_run && run.run->trace.n_receipts == 1 && run.run->trace.receipts[0].packets == 2);
	course_result_fini(&run);
	plan_fini(&plan);
}
END_TEST

/* An undisturbed run is good, complete, and everything the agent sent is on disk; the agent ends by itself. */
START_TEST(undisturbed)
{
	struct course_result run;

	run_once(&run);
	ck_assert_msg(run.outcome == OUTCOME_GOOD, "%s", run.reason);
	ck_assert(run.run->complete && !run.run->row->incomplete);
	ck_assert_uint_eq(run.run->row->lost, 0);
	ck_assert_uint_eq(run.run->row->events, 10); /* one an order */
	ck_assert_str_eq(run.run->streams[0].backend, "fake");
	ck_assert_uint_eq(acknowledged(), run.run->trace.n_events);
	ck_assert(there("quit") && !there("cleaned"));
	course_result_fini(&run);
}
END_TEST

/* Several runs of one session have numbers, directories and streams of their own. */
START_TEST(several)
{
	struct session *session = NULL;
	struct store *store = NULL;
	struct course_result run;
	struct error e = { "" };

	ck_assert_msg(session_open(NULL, false, &session, &e) == 0, "%s", e.text);
	ck_assert_int_eq(store_open(path, STORE_CREATE, &store, &e), 0);
	for (uint64_t i = 1; i <= 5; i++) {
		ck_assert_msg(session_run(session, store, &x, NULL, i == 3, &run, &e) == 0, "%s", e.text);
		ck_assert_uint_eq(run.id, i);
		ck_assert_int_eq(run.outcome, OUTCOME_GOOD);
		ck_assert_uint_eq(run.run->row->events, 10);
		ck_assert_int_eq(*run.directory && access(run.directory, F_OK) == 0, i == 3);
		if (i == 3)
			claim_remove_tree(run.directory);
		course_result_fini(&run);
	}
	session_close(session);
	store_close(store);
	nothing_left();
}
END_TEST

/* Losses that the agent tells of are shown with a run whose outcome is good. */
START_TEST(losses)
{
	struct course_result run;

	setenv("FAKE", "lost", 1);
	run_once(&run);
	ck_assert_int_eq(run.outcome, OUTCOME_GOOD);
	ck_assert_uint_eq(run.run->row->lost, 5);
	ck_assert(!run.run->row->incomplete);
	course_result_fini(&run);
}
END_TEST

/* Whenever the agent is killed, the run is an error that says so, incomplete, and holds every acknowledged batch once. */
START_TEST(agent_killed)
{
	struct course_result run;
	char how[16];

	snprintf(how, sizeof(how), "die:%d", _i);
	setenv("FAKE", how, 1);
	run_once(&run);
	ck_assert_int_eq(run.outcome, OUTCOME_ERROR);
	ck_assert_str_eq(run.reason, "the agent died: signal 9 (SIGKILL)");
	ck_assert_uint_ge(run.run->trace.n_events, acknowledged());
	for (size_t i = 0; i < run.run->trace.n_events; i++)
		ck_assert_uint_eq(run.run->trace.events[i].seq, i + 1);
	ck_assert(run.run->row->incomplete);
	ck_assert_uint_eq(run.run->row->lost, STORE_UNKNOWN);
	ck_assert(there("cleaned") && !there("quit"));
	course_result_fini(&run);
}
END_TEST

/* One signal ends the run in order: interrupted, complete, everything stopped. */
START_TEST(interrupted_once)
{
	struct course_result run;

	setenv("FAKE", "interrupt:4:1", 1);
	run_once(&run);
	ck_assert_int_eq(run.outcome, OUTCOME_INTERRUPTED);
	ck_assert(run.run->complete && !run.run->row->incomplete);
	ck_assert(there("quit") && !there("cleaned"));
	course_result_fini(&run);
}
END_TEST

/* Two signals end it at once although the agent hangs and the grace is long; what it left is cleaned. */
START_TEST(interrupted_twice)
{
	struct course_result run;

	setenv("FAKE", "interrupt:4:2", 1);
	run_once(&run);
	ck_assert_int_eq(run.outcome, OUTCOME_INTERRUPTED);
	ck_assert(run.run->row->incomplete);
	ck_assert(there("cleaned") && !there("quit"));
	course_result_fini(&run);
}
END_TEST

static void does_not_open(const char *how, const char *words)
{
	struct session *session = NULL;
	struct error e = { "" };

	setenv("FAKE", how, 1);
	ck_assert_int_lt(session_open(NULL, false, &session, &e), 0);
	ck_assert_ptr_null(session);
	ck_assert_msg(strstr(e.text, words) != NULL, "'%s' is not in: %s", words, e.text);
	nothing_left();
}

/* An agent that cannot work here says why, in its words; one of another version, or none, is told as such. */
START_TEST(no_agent)
{
	does_not_open("refuses", "this kernel has no BTF");
	does_not_open("old", "install both from one build");
	setenv("PATH", "/nonexistent", 1);
	does_not_open("", "the agent tfj is neither beside bop");
}
END_TEST

/* What a dead session left is removed by the next one; what a living one has, or others own, stays. */
START_TEST(sweep)
{
	struct session *session = NULL;
	struct claim dead, alive;
	struct error e = { "" };
	char other[128];

	ck_assert_int_eq(claim_open(&dead, folder, "run", NULL, 0711, &e), 0);
	claim_close(&dead);
	ck_assert_int_eq(claim_open(&alive, folder, "run", NULL, 0711, &e), 0);
	snprintf(other, sizeof(other), "%s/bop.notes", folder);
	ck_assert_int_eq(mkdir(other, 0700), 0);
	ck_assert_msg(session_open(NULL, false, &session, &e) == 0, "%s", e.text);
	session_close(session);
	ck_assert_int_lt(access(dead.path, F_OK), 0);
	ck_assert_int_eq(access(alive.path, F_OK), 0);
	ck_assert_int_eq(access(other, F_OK), 0);
	claim_close(&alive);
}
END_TEST

int main(int argc, char **argv)
{
	SRunner *runner;
	Suite *suite;
	TCase *tc;
	int failed;

	if (argc > 1 && !strcmp(argv[0], "tfj"))
		return fake_main(argv);
	suite = suite_create("session");
	tc = tcase_create("session");
	runner = srunner_create(suite);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, fault_ends_early, 0, 5);
	tcase_add_test(tc, undisturbed);
	tcase_add_test(tc, several);
	tcase_add_test(tc, losses);
	tcase_add_loop_test(tc, agent_killed, 1, 11);
	tcase_add_test(tc, interrupted_once);
	tcase_add_test(tc, interrupted_twice);
	tcase_add_test(tc, no_agent);
	tcase_add_test(tc, sweep);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
