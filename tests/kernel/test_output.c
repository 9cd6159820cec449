/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bounded capture: whatever a program writes, the beginning, the end and the count are right. Needs no root. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tfj/output.h"

/* The stream that everybody writes here: its byte at x is a function of x, with no short period. */
static char byte_at(uint64_t x)
{
	return (char)((x * 2654435761u) >> 13);
}

static void writer(int fd, uint64_t total, size_t chunk)
{
	char *bytes = malloc(chunk);
	size_t size;
	ssize_t n;

	for (uint64_t at = 0; bytes && at < total; at += n) {
		size = total - at < chunk ? total - at : chunk;
		for (size_t i = 0; i < size; i++)
			bytes[i] = byte_at(at + i);
		n = write(fd, bytes, size);
		if (n <= 0)
			_exit(1);
	}
	_exit(0);
}

/* Lets a child write total bytes and checks what is kept of them. */
static void check_capture(uint64_t total, size_t chunk, size_t head, size_t tail)
{
	struct output_piece pieces[3];
	struct output output;
	struct pollfd wait;
	uint64_t kept = 0, end = 0;
	int fds[2], status, n;
	pid_t pid;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		close(fds[0]);
		writer(fds[1], total, chunk);
	}
	close(fds[1]);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	output_init(&output, fds[0], head, tail);
	wait = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	while (!output_read(&output))
		poll(&wait, 1, -1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(output.total, total);
	n = output_pieces(&output, pieces);
	for (int i = 0; i < n; i++) {
		ck_assert_uint_ge(pieces[i].offset, end);
		ck_assert_uint_gt(pieces[i].size, 0);
		for (size_t k = 0; k < pieces[i].size; k++)
			if (pieces[i].bytes[k] != byte_at(pieces[i].offset + k))
				ck_abort_msg("byte %zu of piece %d at %llu is wrong", k, i,
					     (unsigned long long)pieces[i].offset);
		if (pieces[i].offset > end && i > 0)
			ck_assert_uint_ge(pieces[i].offset, head); /* only the middle is left out */
		end = pieces[i].offset + pieces[i].size;
		kept += pieces[i].size;
	}
	ck_assert_uint_eq(kept, total < head + tail ? total : head + tail);
	ck_assert_uint_eq(end, tail || total < head ? total : head);
	output_fini(&output);
}

/* 50 MB are drained, and half a megabyte of them is kept. */
START_TEST(much)
{
	check_capture(50000000, 65536, OUTPUT_KEEP, OUTPUT_KEEP);
}
END_TEST

/* Every total around the limits, in writes of several sizes: exactly what fits is kept. */
START_TEST(around_the_limits)
{
	static const size_t chunks[] = { 1, 7, 64, 1000 };

	for (uint64_t total = 0; total < 300; total += total < 90 || total > 250 ? 1 : 13)
		check_capture(total, chunks[total % 4], 64, 100);
}
END_TEST

/* Without a tail only the beginning is kept, and the rest still counts. */
START_TEST(beginning_only)
{
	check_capture(1000000, 4096, OUTPUT_QUIET, 0);
	check_capture(10, 3, OUTPUT_QUIET, 0);
	check_capture(0, 1, OUTPUT_QUIET, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("output");
	TCase *tc = tcase_create("output");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, much);
	tcase_add_test(tc, around_the_limits);
	tcase_add_test(tc, beginning_only);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
