/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See cmd_many.h. */
#include "collector/cmd_many.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/history.h"

int cmd_many_begin(struct cmd_many *many, const struct cmd_args *args)
{
	struct error e;

	*many = (struct cmd_many){ .args = args };
	if ((args->level || args->symmetric) && !args->until_stable)
		return cmd_failf("--%s says what counts as new: it goes together with --until-stable", args->level ? "level" : "symmetric");
	if (history_level_parse(args->level, &many->tally.level, &e) < 0)
		return cmd_failf("--%s", e.text);
	many->tally.symmetric = args->symmetric;
	return 0;
}

/* Whether a class has these lines, each with its end. */
static bool has_plan(const Bop__Api__Class *class, const char *lines)
{
	for (size_t i = 0; i < class->n_plan; i++) {
		size_t size = strcspn(lines, "\n");

		if (strlen(class->plan[i]) != size || strncmp(class->plan[i], lines, size) || !lines[size])
			return false;
		lines += size + 1;
	}
	return !*lines;
}

static int page_know(struct cmd_many *many, const Bop__Api__History *page, const char *lines, bool dry_run, struct error *e)
{
	int err = 0;

	for (size_t i = 0; i < page->n_rows && !err; i++) {
		const Bop__Api__Class *class = page->rows[i];
		struct print print;

		if (!class->print)
			return error_set(e, -EBADMSG, "the server's answer makes no sense");
		print = (struct print){ class->print->high, class->print->low, class->print->approximate };
		if (class->dry_run == dry_run && has_plan(class, lines))
			err = tally_know(&many->tally, &print);
	}
	return err ? error_set(e, err, "out of memory") : 0;
}

int cmd_many_know(struct cmd_many *many, const char *experiment, const struct plan *plan, cmd_many_ask *ask, void *from, struct error *e)
{
	Bop__Api__GetHistory get = BOP__API__GET_HISTORY__INIT;
	struct api_request request = { .kind = API_GET_HISTORY, .get_history = &get };
	struct api_answer answer;
	char *lines;
	bool more = true;
	int err = 0;

	if (!many->args->until_stable)
		return 0;
	lines = plan->n ? plan_text(plan) : strdup("");
	if (!lines)
		return error_set(e, -ENOMEM, "out of memory");
	get.experiment = (char *)experiment;
	get.level = (char *)print_level_name(many->tally.level);
	get.symmetric = many->tally.symmetric;
	while (more && !err) {
		err = ask(from, &request, API_HISTORY, &answer, e);
		if (err)
			break;
		err = page_know(many, answer.history, lines, plan->dry && plan->n, e);
		get.after += answer.history->n_rows;
		more = answer.history->more && answer.history->n_rows && get.after < answer.history->classes;
		api_answer_fini(&answer);
	}
	free(lines);
	return err == -ENOENT ? 0 : err;
}

static uint64_t deaf_max(const struct cmd_many *many)
{
	return tally_deaf_max(many->args->until_stable);
}

bool cmd_many_more(const struct cmd_many *many)
{
	const struct cmd_args *args = many->args;

	if (many->failed)
		return false;
	if (!args->until_stable)
		return many->made < (args->runs ? args->runs : 1);
	return many->tally.quiet < args->until_stable && many->tally.deaf < deaf_max(many) && (!args->runs || many->made < args->runs);
}

void cmd_many_run(struct cmd_many *many, const struct course_result *run)
{
	const struct store_run *row = run->run ? run->run->row : NULL;
	const struct prints *prints = row && row->class_id && run->has_prints ? &run->prints : NULL;
	const char *why_not = row && row->unclassed ? row->unclassed : run->has_prints ? run->prints.why_not : NULL;
	bool is_new;

	many->made++;
	many->new_classes += row && row->new_class;
	if (!prints)
		snprintf(many->why_not, sizeof(many->why_not), "%s", why_not ? why_not : "it cannot be read");
	else if (many->has_before && !print_compare(&many->before, &prints->own[PRINT_LEVEL_EXACT]))
		many->as_before++;
	if (tally_add(&many->tally, prints, &is_new)) {
		cmd_failf("out of memory");
		many->failed = true;
	}
}

/* "20 runs: 6 classes, 1 up to the roles; 2 that were not known" */
static void sum_print(const struct cmd_many *many)
{
	const struct tally *t = &many->tally;

	printf("%" PRIu64 " runs: %" PRIu64 " class%s", many->made, t->exact, t->exact == 1 ? "" : "es");
	if (t->symmetric_exact != t->exact)
		printf(", %" PRIu64 " up to the roles", t->symmetric_exact);
	printf("; %" PRIu64 " new", many->new_classes);
	if (t->unclassed)
		printf("; %" PRIu64 " run%s not count", t->unclassed, t->unclassed == 1 ? " does" : "s do");
	puts("");
}

static void again_print(const struct cmd_many *many)
{
	unsigned long long of = many->of, n = many->made;

	if (!many->has_before)
		printf("run %llu has no class itself: whether these did the same cannot be told\n", of);
	else if (many->as_before == n)
		printf("all did what run %llu did: deterministic, as far as %llu runs show\n", of, n);
	else
		printf("%" PRIu64 " of them did what run %llu did: %s\n", many->as_before, of,
		       many->tally.unclassed + many->as_before == n ? "nothing is known of the others" : "not deterministic");
}

static void stable_print(const struct cmd_many *many)
{
	const struct tally *t = &many->tally;
	const char *level = print_level_name(t->level), *roles = t->symmetric ? ", up to the roles" : "";

	if (t->quiet >= many->args->until_stable)
		printf("stable: the last %" PRIu64 " runs that count brought nothing new (%s%s)\n", t->quiet, level, roles);
	else
		printf("not stable: of the runs that count only the last %" PRIu64 " brought nothing new (%s%s)\n", t->quiet, level, roles);
}

int cmd_many_end(struct cmd_many *many, int status)
{
	if (many->made > 1 && !many->args->json) {
		sum_print(many);
		if (many->of)
			again_print(many);
		if (many->args->until_stable && many->tally.runs)
			stable_print(many);
	}
	if (many->failed)
		status = CMD_EXIT_ERROR;
	else if (many->args->until_stable && many->tally.deaf >= deaf_max(many))
		status = cmd_failf("the last %" PRIu64 " runs do not count (%s), so nobody can tell when nothing new comes any more",
				   many->tally.deaf, many->why_not);
	tally_fini(&many->tally);
	return cmd_flush(status);
}
