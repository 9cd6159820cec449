/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See hunt.h: what is done with a violation. It is made as small as it can be, repeated, drawn, and its plan is kept in a file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/hunt_inside.h"
#include "collector/replace.h"

static int no_memory(struct error *e)
{
	return error_set(e, -ENOMEM, "out of memory");
}

static int minimize(struct hunt *hunt, const struct hunt_run *run, struct hunt_violation *v, struct error *e)
{
	Bop__Api__Minimize minimize = BOP__API__MINIMIZE__INIT;
	struct api_request request = { .kind = API_MINIMIZE, .minimize = &minimize };
	int err;

	v->lines = (const char **)run->lines;
	v->n = run->n_lines;
	v->run = run->number;
	if (v->n == 1) /* without it the outcome was good */
		return 0;
	minimize.run = run->number;
	err = remote_ask(hunt->remote, &request, API_MINIMIZED, &v->minimized, e);
	if (err)
		return err;
	v->lines = (const char **)v->minimized.minimized->plan;
	v->n = v->minimized.minimized->n_plan;
	v->run = v->minimized.minimized->run;
	v->runs = v->minimized.minimized->n_runs;
	return 0;
}

static int repeat(struct hunt *hunt, struct hunt_violation *v, struct error *e)
{
	struct hunt_run run;

	while (v->tried < hunt->settings.confirm) {
		int err = hunt_run(hunt, v->lines, v->n, &run, e);

		if (err)
			return err;
		v->tried++;
		if (run.outcome == OUTCOME_VIOLATED && run.whole) {
			v->again++;
			v->run = run.number;
		}
	}
	return 0;
}

/* Lines that are no goals. */
static int output_take(const Bop__Api__RunInfo *info, struct hunt_violation *v, struct error *e)
{
	const char *at = (const char *)info->check_output.data, *end = at + info->check_output.len;
	size_t size = 0;
	FILE *out = open_memstream(&v->output, &size);

	if (!out)
		return no_memory(e);
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((line_end ? line_end : end) - at);

		if (n && (n < 5 || memcmp(at, "goal ", 5)))
			fprintf(out, "%.*s\n", (int)(n < 500 ? n : 500), at);
		at += n + 1;
	}
	return fclose(out) ? no_memory(e) : 0;
}

static int output_ask(struct hunt *hunt, struct hunt_violation *v, struct error *e)
{
	Bop__Api__GetRun get = BOP__API__GET_RUN__INIT;
	struct api_request request = { .kind = API_GET_RUN, .get_run = &get };
	struct api_answer answer;
	int err;

	get.run = v->run;
	err = remote_ask(hunt->remote, &request, API_RUN_INFO, &answer, e);
	if (err)
		return err;
	err = output_take(answer.run_info, v, e);
	api_answer_fini(&answer);
	return err;
}

struct drawing {
	struct remote *remote;
	Bop__Api__Render ask;
};

static int draw(FILE *out, void *arg, struct error *e)
{
	struct drawing *drawing = arg;
	struct api_request request = { .kind = API_RENDER, .render = &drawing->ask };
	bool more = true;
	int err = 0;

	while (more && !err) {
		struct api_answer answer;

		err = remote_ask(drawing->remote, &request, API_RENDERED, &answer, e);
		if (err)
			return err;
		fwrite(answer.rendered->data.data, 1, answer.rendered->data.len, out);
		drawing->ask.offset += answer.rendered->data.len;
		more = drawing->ask.offset < answer.rendered->total;
		if (more && !answer.rendered->data.len)
			err = error_set(e, -EBADMSG, "the server's last pages are missing");
		api_answer_fini(&answer);
	}
	return err;
}

static int plan_write(FILE *out, void *arg, struct error *e)
{
	const struct hunt_violation *v = arg;

	fprintf(out, "# bop ldfi: run %llu is violated by these, each of which it needs\n", (unsigned long long)v->run);
	for (size_t i = 0; i < v->n; i++)
		fprintf(out, "%s\n", v->lines[i]);
	return 0;
}

/* The picture's name, and the plan's, which is the same but for its end. */
static int names_make(struct hunt *hunt, struct hunt_violation *v, struct error *e)
{
	const char *name = hunt->experiment.experiment->name;
	int n;

	if (hunt->settings.picture)
		v->picture = strdup(hunt->settings.picture);
	else if (asprintf(&v->picture, "%s-ldfi.svg", name) < 0)
		v->picture = NULL;
	if (!v->picture)
		return no_memory(e);
	for (char *c = v->picture; !hunt->settings.picture && *c; c++)
		if (*c == '/')
			*c = '-';
	n = (int)(strrchr(v->picture, '.') - v->picture);
	if (asprintf(&v->plan, "%.*s.plan", n, v->picture) < 0)
		v->plan = NULL;
	return v->plan ? 0 : no_memory(e);
}

/* For a shell. */
static void word_write(FILE *out, const char *word)
{
	if (*word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+=-")]) {
		fprintf(out, " %s", word);
		return;
	}
	fputs(" '", out);
	for (; *word; word++)
		fprintf(out, *word == '\'' ? "'\\''" : "%c", *word);
	fputc('\'', out);
}

static int command_make(struct hunt *hunt, struct hunt_violation *v, struct error *e)
{
	const char *server = hunt->settings.server;
	size_t size = 0;
	FILE *out = open_memstream(&v->command, &size);

	if (!out)
		return no_memory(e);
	fputs("bop run", out);
	word_write(out, hunt->settings.file);
	if (server && *server)
		fprintf(out, " --server=%s", server);
	else if (server)
		fputs(" --server", out);
	fputs(" --racy --plan", out);
	word_write(out, v->plan);
	return fclose(out) ? no_memory(e) : 0;
}

int hunt_violation_make(struct hunt *hunt, const struct hunt_run *run, struct hunt_violation *ret, struct error *e)
{
	struct drawing drawing = { .remote = hunt->remote, .ask = BOP__API__RENDER__INIT };
	int err;

	*ret = (struct hunt_violation){ .minimized = { .kind = API_ANSWER_NONE } };
	err = minimize(hunt, run, ret, e);
	if (!err)
		err = repeat(hunt, ret, e);
	if (!err)
		err = output_ask(hunt, ret, e);
	if (!err)
		err = names_make(hunt, ret, e);
	if (!err)
		err = replace_file(ret->plan, plan_write, ret, e);
	drawing.ask.run = ret->run;
	if (!err)
		drawing.ask.format = strrchr(ret->picture, '.') + 1;
	if (!err)
		err = replace_file(ret->picture, draw, &drawing, e);
	return err ? err : command_make(hunt, ret, e);
}

void hunt_violation_fini(struct hunt_violation *v)
{
	api_answer_fini(&v->minimized);
	free(v->output);
	free(v->picture);
	free(v->plan);
	free(v->command);
}
