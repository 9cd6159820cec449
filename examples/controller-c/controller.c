/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A controller in C, with libbop: has a server run an experiment, once without faults and once with each of those given, and says what
 * came of it.
 *
 *     controller URL EXPERIMENT [FAULT]...        URL: ipc:///run/bop/api, tcp://HOST:7101, or - for the usual one
 *
 * Exit status: 0 if all runs were good, 1 if one was not, 3 if it could not be done.
 */
#include <bop/bop.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 20 };

static int complain(const struct bop_error *e)
{
	fprintf(stderr, "controller: %s\n", e->text);
	return 3;
}

/* Prints how it goes until the run has ended. Returns the exit status for it. */
static int follow(struct bop *bop, uint64_t id)
{
	Bop__Api__Answer *answer;
	struct bop_error e;
	int status = -1;

	while (status < 0) {
		if (bop_wait(bop, -1, &answer, &e) < 0)
			return complain(&e);
		if (answer->id != id)
			; /* of a request before this one */
		else if (answer->what_case == BOP__API__ANSWER__WHAT_PROGRESS)
			printf("  run %" PRIu64 ": %s, %" PRIu64 " events\n", answer->progress->run, answer->progress->phase,
			       answer->progress->events);
		else if (answer->what_case == BOP__API__ANSWER__WHAT_RUN_END) {
			printf("  run %" PRIu64 ": %s%s%s, %" PRIu64 " messages, %" PRIu64 " events lost\n", answer->run_end->run,
			       answer->run_end->outcome, *answer->run_end->reason ? ": " : "", answer->run_end->reason,
			       answer->run_end->messages, answer->run_end->lost);
			status = strcmp(answer->run_end->outcome, "good") ? 1 : 0;
		} else if (answer->what_case == BOP__API__ANSWER__WHAT_ERROR) {
			fprintf(stderr, "controller: %s\n", answer->error->text);
			status = 3;
		}
		bop_answer_free(answer);
	}
	return status;
}

/* fault NULL: none. */
static int run(struct bop *bop, const char *path, char *text, size_t size, char *fault)
{
	Bop__Api__Request request = BOP__API__REQUEST__INIT;
	Bop__Api__Run run = BOP__API__RUN__INIT;
	Bop__Api__FaultLine line = BOP__API__FAULT_LINE__INIT, *lines[] = { &line };
	struct bop_error e;

	run.name = run.path = (char *)path;
	run.text.data = (unsigned char *)text;
	run.text.len = size;
	line.line = fault;
	line.origin = (char *)"argument";
	run.faults = lines;
	run.n_faults = fault ? 1 : 0;
	request.what_case = BOP__API__REQUEST__WHAT_RUN;
	request.run = &run;
	printf("%s\n", fault ? fault : "no fault");
	if (bop_send(bop, &request, &e) < 0)
		return complain(&e);
	return follow(bop, request.id);
}

int main(int argc, char **argv)
{
	static char text[FILE_MAX];
	char path[PATH_MAX];
	struct bop *bop = NULL;
	struct bop_error e;
	FILE *file;
	size_t size;
	int status, worst;

	if (argc < 3) {
		fprintf(stderr, "usage: controller URL EXPERIMENT [FAULT]...\n");
		return 3;
	}
	file = realpath(argv[2], path) ? fopen(path, "r") : NULL;
	if (!file) {
		perror(argv[2]);
		return 3;
	}
	size = fread(text, 1, sizeof(text), file);
	fclose(file);
	if (bop_open(strcmp(argv[1], "-") ? argv[1] : NULL, NULL, &bop, &e) < 0)
		return complain(&e);
	worst = run(bop, path, text, size, NULL);
	for (int i = 3; i < argc && worst < 3; i++) {
		status = run(bop, path, text, size, argv[i]);
		worst = status > worst ? status : worst;
	}
	bop_close(bop);
	return worst;
}
