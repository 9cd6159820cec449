/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See hunt.h: what a person, or a program, reads of it. A line a run; then the violation, or what was covered. docs/json.md tells users. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "collector/hunt_inside.h"
#include "collector/json.h"
#include "lib/clock.h"

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static double seconds(const struct hunt *hunt)
{
	return (double)(clock_monotonic_ns() - hunt->began_ns) / CLOCK_SECOND_NS;
}

/* "losses before logical time 2, at most 1; at most 1 crash; of s1 s2" */
static void budget_print(const struct hunt *hunt)
{
	const struct budget *b = &hunt->settings.loop.budget;

	if (!b->losses || b->losses_until <= 1)
		printf("no losses");
	else if (b->losses_until == UINT64_MAX)
		printf("losses");
	else
		printf("losses of messages before logical time %" PRIu64, b->losses_until);
	if (b->losses && b->losses_until > 1 && b->losses == BUDGET_ANY)
		printf(", any number");
	else if (b->losses && b->losses_until > 1)
		printf(", at most %" PRIu32, b->losses);
	if (b->crashes == BUDGET_ANY)
		printf("; crashes, any number");
	else if (b->crashes)
		printf("; at most %" PRIu32 " crash%s", b->crashes, b->crashes == 1 ? "" : "es");
	else
		printf("; no crash");
	for (const char *const *name = b->processes; name && *name; name++)
		printf("%s%s", name == b->processes ? "; only of " : ", ", *name);
}

void hunt_show_begin(const struct hunt *hunt)
{
	if (hunt->settings.json)
		return;
	printf("%s, budget: ", hunt->experiment.experiment->name);
	budget_print(hunt);
	printf("\n");
	fflush(stdout);
}

static void learned_print(const struct hunt *hunt, const struct hunt_run *run, const struct loop_learned *learned)
{
	struct loop_counts counts;

	loop_counts(hunt->loop, &counts);
	if (learned->outside)
		printf(": outside the budget, for %s came too late to get lost", learned->outside_label);
	else if (learned->again)
		printf(": %s; again", *run->reason ? run->reason : "it says nothing");
	else if (learned->given_up)
		printf(": %s; not covered", *run->reason ? run->reason : "it says nothing");
	else if (!run->n_lines && run->outcome == OUTCOME_GOOD)
		printf(": %zu goal%s; %zu message%s can get lost, %zu moment%s for a crash", counts.goals, plural(counts.goals),
		       counts.losses, plural(counts.losses), counts.crashes, plural(counts.crashes));
	else if (run->outcome == OUTCOME_GOOD && learned->supports)
		printf(": %zu new way%s to its goals%s", learned->supports, plural(learned->supports),
		       learned->mirrored ? ", and their like in other places" : "");
	else if (run->outcome == OUTCOME_GOOD)
		printf(": nothing new");
	if (run->outcome == OUTCOME_GOOD && learned->absent)
		printf("; %zu goal%s did not come about", learned->absent, plural(learned->absent));
}

static json_t *lines_json(const char *const *lines, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, json_text(lines[i]));
	return array;
}

static void object_print(json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT);
	puts("");
	fflush(stdout);
	json_decref(object);
}

static const char *verdict_name(const struct hunt_run *run, const struct loop_learned *learned)
{
	if (run->outcome == OUTCOME_ERROR)
		return outcome_name(OUTCOME_ERROR);
	return learned->again || learned->given_up ? outcome_name(OUTCOME_INCONCLUSIVE) : outcome_name(run->outcome);
}

static void run_json(const struct hunt *hunt, const struct hunt_run *run, const struct loop_learned *learned)
{
	json_t *object = json_object(), *news = json_object();

	json_object_set_new(object, "run", run->number ? json_number(run->number) : json_null());
	json_object_set_new(object, "plan", lines_json(run->lines, run->n_lines));
	json_object_set_new(object, "attempt", json_number(loop_attempt(hunt->loop)));
	json_object_set_new(object, "outcome", json_text(outcome_name(run->outcome)));
	json_object_set_new(object, "counts_as", json_text(verdict_name(run, learned)));
	json_object_set_new(object, "reason", *run->reason ? json_text(run->reason) : json_null());
	json_object_set_new(news, "goals", json_number(learned->goals));
	json_object_set_new(news, "supports", json_number(learned->supports));
	json_object_set_new(news, "supports_by_symmetry", json_number(learned->mirrored));
	json_object_set_new(news, "messages", json_number(learned->messages));
	json_object_set_new(object, "learned", news);
	json_object_set_new(object, "goals_absent", json_number(learned->absent));
	json_object_set_new(object, "outside_budget", learned->outside ? json_text(learned->outside_label) : json_null());
	object_print(object);
}

void hunt_show_run(const struct hunt *hunt, const struct hunt_run *run, const struct loop_learned *learned)
{
	if (hunt->settings.json) {
		run_json(hunt, run, learned);
		return;
	}
	if (run->number)
		printf("run %-5" PRIu64 " ", run->number);
	else
		printf("no run    ");
	printf("%s", run->n_lines ? "" : "no fault");
	for (size_t i = 0; i < run->n_lines; i++)
		printf("%s%s", i ? "; " : "", run->lines[i]);
	printf(" -> %s", verdict_name(run, learned));
	learned_print(hunt, run, learned);
	printf("\n");
	fflush(stdout);
}

static void violation_json(const struct hunt_violation *v)
{
	json_t *object = json_object();

	json_object_set_new(object, "violation", lines_json(v->lines, v->n));
	json_object_set_new(object, "run", json_number(v->run));
	json_object_set_new(object, "runs_to_minimize", json_number(v->runs));
	json_object_set_new(object, "again", json_number(v->again));
	json_object_set_new(object, "tried", json_number(v->tried));
	json_object_set_new(object, "check", json_text(v->output));
	json_object_set_new(object, "picture", json_text(v->picture));
	json_object_set_new(object, "plan", json_text(v->plan));
	json_object_set_new(object, "command", json_text(v->command));
	object_print(object);
}

void hunt_show_violation(const struct hunt *hunt, const struct hunt_violation *v)
{
	struct loop_counts counts;
	char *output = v->output;

	if (hunt->settings.json) {
		violation_json(v);
		return;
	}
	loop_counts(hunt->loop, &counts);
	printf("\nviolated, found by %" PRIu64 " runs", counts.runs);
	if (v->runs)
		printf(" (and %" PRIu64 " to leave out what it does not need)", v->runs);
	printf(":\n");
	for (size_t i = 0; i < v->n; i++)
		printf("    %s\n", v->lines[i]);
	for (char *line = strsep(&output, "\n"); line && *line; line = strsep(&output, "\n"))
		printf("  %-8s %s\n", line == v->output ? "check" : "", line);
	if (v->tried)
		printf("  again    %" PRIu64 " of %" PRIu64 " runs with this plan were violated%s\n", v->again, v->tried,
		       v->again < v->tried ? ": it is not the faults alone" : "");
	printf("  picture  %s (run %" PRIu64 ")\n", v->picture, v->run);
	printf("  plan     %s\n", v->plan);
	printf("  repeat   %s\n", v->command);
	fflush(stdout);
}

static void open_print(const struct hunt *hunt)
{
	bool outside;

	for (int which = 0; which < 2; which++)
		for (size_t i = 0, n = 0; i < loop_n_open(hunt->loop); i++) {
			const char *text = loop_open(hunt->loop, i, &outside);

			if (outside == which)
				printf("  %-9s%s\n", n++ ? "" : which ? "outside" : "open", text);
		}
}

static const char *ending(const struct hunt *hunt, enum loop_state state)
{
	struct loop_counts counts;

	switch (state) {
	case LOOP_NOT_GOOD:
		return "not good without faults: there is nothing to learn from";
	case LOOP_VIOLATED:
		return hunt->settings.loop.all ? "violated, and no plan is left" : "violated";
	case LOOP_CERTIFIED:
		return loop_n_open(hunt->loop) ? "not certified: no violation was found, but these plans say nothing about the budget" :
						 "certified: no plan is left that could break it within the budget";
	case LOOP_GOES_ON:
	case LOOP_RUNS_OUT:
		break;
	}
	loop_counts(hunt->loop, &counts);
	if (counts.violated)
		return "violated, and plans are left: as many runs were made as were allowed";
	return "not certified: no violation was found in as many runs as were allowed";
}

static void end_print(const struct hunt *hunt, enum loop_state state, const struct hunt_run *last)
{
	struct loop_counts c;

	loop_counts(hunt->loop, &c);
	printf("\n%s\n", ending(hunt, state));
	if (state == LOOP_NOT_GOOD) {
		printf("  run      %" PRIu64 ": %s%s%s\n", last->number, outcome_name(last->outcome), *last->reason ? ": " : "", last->reason);
		return;
	}
	open_print(hunt);
	printf("  budget   ");
	budget_print(hunt);
	printf("\n  runs     %" PRIu64 " in %.1f s: %" PRIu64 " good, %" PRIu64 " vacuous, %" PRIu64 " violated, %" PRIu64
	       " inconclusive; %" PRIu64 " plan%s\n", c.runs, seconds(hunt), c.good, c.vacuous, c.violated + c.outside, c.inconclusive,
	       c.plans, plural(c.plans));
	printf("  known    %zu goal%s, %zu way%s to them%s; %zu message%s that can get lost, %zu moment%s for a crash\n", c.goals,
	       plural(c.goals), c.supports, plural(c.supports), c.supports_mirrored ? " (some by symmetry)" : "", c.losses,
	       plural(c.losses), c.crashes, plural(c.crashes));
	if (c.mirrored || c.supersets)
		printf("  left out plans that are the same as one that was run, in other places: %" PRIu64
		       "; that contain a known violation: %" PRIu64 "\n", c.mirrored, c.supersets);
	if (hunt->left_out + c.roles_left_out)
		printf("  roles    %zu not used: their members have no box of their own, or are too many\n", hunt->left_out + c.roles_left_out);
}

static const char *state_name(const struct hunt *hunt, enum loop_state state)
{
	switch (state) {
	case LOOP_NOT_GOOD:
		return "not-good";
	case LOOP_VIOLATED:
		return "violated";
	case LOOP_CERTIFIED:
		return loop_n_open(hunt->loop) ? "inconclusive" : "certified";
	case LOOP_GOES_ON:
	case LOOP_RUNS_OUT:
		break;
	}
	return "limit";
}

static json_t *limit_json(uint32_t most)
{
	return most == BUDGET_ANY ? json_null() : json_integer(most);
}

static json_t *budget_json(const struct budget *budget)
{
	json_t *object = json_object();
	size_t n = 0;

	while (budget->processes && budget->processes[n])
		n++;
	json_object_set_new(object, "losses_until", json_number(budget->losses_until));
	json_object_set_new(object, "losses", limit_json(budget->losses));
	json_object_set_new(object, "crashes", limit_json(budget->crashes));
	json_object_set_new(object, "processes", budget->processes ? lines_json(budget->processes, n) : json_null());
	return object;
}

static void end_json(const struct hunt *hunt, enum loop_state state)
{
	json_t *object = json_object(), *open = json_array(), *outside = json_array();
	struct loop_counts c;

	loop_counts(hunt->loop, &c);
	for (size_t i = 0; i < loop_n_open(hunt->loop); i++) {
		bool is_outside;
		const char *text = loop_open(hunt->loop, i, &is_outside);

		json_array_append_new(is_outside ? outside : open, json_text(text));
	}
	json_object_set_new(object, "result", json_text(state_name(hunt, state)));
	json_object_set_new(object, "experiment", json_text(hunt->experiment.experiment->name));
	json_object_set_new(object, "strategy", json_text(hunt->settings.loop.strategy == LOOP_RANDOM ? "random" : "ldfi"));
	json_object_set_new(object, "seed", json_number(hunt->settings.loop.seed));
	json_object_set_new(object, "budget", budget_json(&hunt->settings.loop.budget));
	json_object_set_new(object, "seconds", json_real(seconds(hunt)));
#define X(name) json_object_set_new(object, #name, json_number(c.name));
	X(runs) X(good) X(vacuous) X(violated) X(outside) X(inconclusive) X(plans) X(mirrored) X(supersets)
	X(goals) X(supports) X(supports_mirrored) X(messages) X(losses) X(crashes)
#undef X
	json_object_set_new(object, "roles_left_out", json_number(hunt->left_out + c.roles_left_out));
	json_object_set_new(object, "not_covered", open);
	json_object_set_new(object, "violated_outside", outside);
	object_print(object);
}

void hunt_show_end(const struct hunt *hunt, enum loop_state state, const struct hunt_run *last)
{
	if (hunt->settings.json)
		end_json(hunt, state);
	else if (state != LOOP_VIOLATED || hunt->settings.loop.all)
		end_print(hunt, state, last);
}
