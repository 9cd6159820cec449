/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A program that is started again: the same in everything but its label, and no other's business. */
#include "tests/kernel/stage.h"

#include <sys/epoll.h>

#include "lib/clock.h"
#include "tfj/crew.h"
#include "tfj/failing.h"

static struct tracer *tracer;
static struct stream stream;
static struct names *names;
static struct crew *crew;
static struct sock_fprog filter;
static int epoll;

/* What the crew told. */
static struct {
	unsigned started, failed, exited;
	uint64_t order;
	uint32_t process, status;
	char error[300];
} told;

static void on_started(const char *name, uint32_t process, uint64_t order, int err, const char *error, pid_t pid, void *arg)
{
	ck_assert_str_eq(name, "s1");
	told.started += !err;
	told.failed += err != 0;
	told.order = order;
	snprintf(told.error, sizeof(told.error), "%s", err ? error : "");
}

static void on_exited(const char *name, uint32_t process, uint32_t status, const char *output, size_t size, void *arg)
{
	ck_assert_str_eq(name, "s1");
	told.exited++;
	told.process = process;
	told.status = status;
}

static const struct sock_fprog *failing(const char *label, void *arg)
{
	return strcmp(label, "s1'2") ? NULL : &filter;
}

static void on_record(const struct rec_head *record, size_t size, void *arg)
{
	if (names)
		names_record(names, record, size);
}

static void on_listen(void *arg, uint32_t root, uint16_t port)
{
}

static void setup(void)
{
	const struct failing_call call = { "uname", EIO };
	const struct crew_events events = { on_started, on_exited, failing, NULL };
	struct crew_place place = { 0 };
	struct error e = { "" };

	stage_open();
	ck_assert_msg(failing_make(&call, 1, &filter, &e) == 0, "%s", e.text);
	ck_assert_msg(tracer_open(NULL, 0, true, on_record, NULL, &tracer, &e) == 0, "%s", e.text);
	ck_assert_msg(tracer_attach(tracer, &e) == 0, "%s", e.text);
	ck_assert_msg(tracer_add_box(tracer, boxes->box[0].cookie, 1, &e) == 0, "%s", e.text);
	stream_init(&stream, 1);
	names = names_new(&stream, boxes, 0, on_listen, NULL);
	ck_assert_ptr_nonnull(names);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	place = (struct crew_place){ tracer, names, &stream, boxes, &cgroup, inbox_hosts, inbox_resolv, 0, inbox_base, epoll };
	crew = crew_new(&place, &events);
	ck_assert_ptr_nonnull(crew);
}

static void teardown(void)
{
	stage_clear();
	while (waitpid(-1, NULL, 0) > 0)
		;
	tracer_clear(tracer);
	crew_free(crew);
	names_free(names);
	stream_fini(&stream);
	tracer_close(tracer);
	close(epoll);
	stage_close();
	free(filter.filter);
}

/* Deals with what comes until so many were started (or not) and have ended. */
static void wait_told(unsigned started, unsigned failed, unsigned exited)
{
	struct epoll_event event;
	int status;
	pid_t pid;

	while (told.started < started || told.failed < failed || told.exited < exited) {
		if (epoll_wait(epoll, &event, 1, 1) == 1)
			crew_on_ready(crew, event.data.ptr);
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			crew_on_exit(crew, pid, status);
	}
	ck_assert_msg(told.started == started && told.failed == failed && told.exited == exited, "%u %u %u '%s'", told.started,
		      told.failed, told.exited, told.error);
	tracer_drain(tracer);
}

/* All that a process wrote to stdout, as it is in the stream. */
static char *output_of(uint32_t process)
{
	for (size_t i = 0; i < stream.part.n_outputs; i++)
		if (stream.part.outputs[i].process == process && stream.part.outputs[i].stream == 1)
			return strndup(stream.part.outputs[i].bytes, stream.part.outputs[i].size);
	return strdup("");
}

static const struct trace_process *row_of(const char *name)
{
	for (uint32_t i = 1; i <= stream.part.n_processes; i++)
		if (!strcmp(stream.part.processes[i].name, name))
			return &stream.part.processes[i];
	return NULL;
}

static uint32_t process_of_name(const char *name)
{
	const struct trace_process *row = row_of(name);

	ck_assert_msg(row, "there is no %s", name);
	return row - stream.part.processes;
}

static const char script[] = "echo line >>runs; id -un; pwd; cat /proc/sys/kernel/hostname; echo $WORD; cat runs; (uname >/dev/null 2>&1) || echo failed; "
			     "kill -9 $$";

static char *argv[] = { "sh", "-c", (char *)script, NULL };
static char directory[128];

static struct message_start start_of(void)
{
	snprintf(directory, sizeof(directory), "%s/work", inbox_base);
	return (struct message_start){ .name = "s1", .box = "s1", .user = "nobody", .directory = directory, .argv = argv,
				       .environment = (char **)plain_environment };
}

/*
 * The second incarnation has the directory (with what the first one left there), the user, the environment and the box of
 * the first; its label and its children's tell it apart; what both wrote is kept. A filter is for one label only.
 */
START_TEST(again)
{
	struct message_start start = start_of();
	char expect[600], *wrote, *name = NULL;
	struct error e = { "" };
	uint32_t first, second;

	ck_assert_int_eq(crew_again(crew, "s1", clock_monotonic_ns(), &e), -ENOENT);
	ck_assert_msg(crew_start(crew, 7, &start, clock_monotonic_ns(), &e) == 0, "%s", e.text);
	wait_told(1, 0, 1);
	ck_assert_uint_eq(told.order, 7);
	first = told.process;
	ck_assert_uint_eq(first, process_of_name("s1"));
	ck_assert_uint_eq(told.status, SIGKILL);
	ck_assert_msg(crew_again(crew, "s1", clock_monotonic_ns(), &e) == 0, "%s", e.text);
	wait_told(2, 0, 2);
	ck_assert_uint_eq(told.order, 0);
	second = told.process;
	ck_assert_uint_eq(second, process_of_name("s1'2"));
	ck_assert_uint_eq(told.status, SIGKILL);
	name = names_next_label(names, "s1");
	ck_assert_str_eq(name, "s1'3");
	free(name);

	crew_flush(crew, NULL, NULL);
	snprintf(expect, sizeof(expect), "nobody\n%s\ns1\nyes\nline\n", directory);
	wrote = output_of(first);
	ck_assert_str_eq(wrote, expect);
	free(wrote);
	snprintf(expect, sizeof(expect), "nobody\n%s\ns1\nyes\nline\nline\nfailed\n", directory);
	wrote = output_of(second);
	ck_assert_str_eq(wrote, expect);
	free(wrote);
	ck_assert_ptr_nonnull(row_of("s1.1"));
	ck_assert_uint_eq(row_of("s1.1")->parent, first);
	ck_assert_ptr_nonnull(row_of("s1'2.1"));
	ck_assert_uint_eq(row_of("s1'2.1")->parent, second);
	ck_assert_uint_eq(stream.part.processes[second].box, stream.part.processes[first].box);
	ck_assert_str_eq(stream.part.processes[second].command, stream.part.processes[first].command);
}
END_TEST

/* One that lives is not started beside itself; one whose program is gone meanwhile says so, by a name and not by an order. */
START_TEST(cannot)
{
	char program[160], *sleeps[] = { program, NULL };
	struct message_start start = start_of();
	struct error e = { "" };

	snprintf(program, sizeof(program), "%s/program", inbox_base);
	write_file(program, "#!/bin/sh\nexec sleep 1000\n");
	chmod(program, 0755);
	start.argv = sleeps;
	ck_assert_msg(crew_start(crew, 7, &start, clock_monotonic_ns(), &e) == 0, "%s", e.text);
	wait_told(1, 0, 0);
	ck_assert_int_eq(crew_again(crew, "s1", clock_monotonic_ns(), &e), -EEXIST);
	ck_assert_int_eq(crew_signal(crew, "s1", SIGKILL, &e), 0);
	wait_told(1, 0, 1);
	ck_assert_int_eq(unlink(program), 0);
	ck_assert_msg(crew_again(crew, "s1", clock_monotonic_ns(), &e) == 0, "%s", e.text);
	wait_told(1, 1, 1);
	ck_assert_uint_eq(told.order, 0);
	ck_assert_ptr_nonnull(strstr(told.error, program));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("crew");
	TCase *tests = tcase_create("crew");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, again);
	tcase_add_test(tests, cannot);
	suite_add_tcase(suite, tests);
	return inbox_main(suite);
}
