/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The loop on simulated systems: what the LDFI paper found it finds, in as few runs; what brute force over all plans
 * of a small budget finds it finds, and nothing else; plans come again for the same seed, until they say something,
 * and never twice else.
 */
#include <check.h>
#include <stdlib.h>

#include "ldfi/loop.h"
#include "tests/unit/ldfi_protocols.h"

enum { RUNS_MAX = 5000, LINES_MAX = 64 };

static struct sim sim;

struct found {
	enum loop_state state;
	struct loop_counts counts;
	char lines[LINES_MAX][80]; /* of the last plan */
	size_t n;
	uint64_t trace; /* a hash of all plans that were run */
};

static uint64_t hash_line(uint64_t hash, const char *line)
{
	for (; *line; line++)
		hash = (hash ^ (unsigned char)*line) * 1099511628211ull;
	return hash * 31;
}

static struct found explore(const struct sim_protocol *protocol, const struct loop_settings *settings)
{
	struct found found = { .trace = 1 };
	struct loop_learned learned;
	struct loop *loop = NULL;

	ck_assert(!loop_new(settings, &loop));
	for (;;) {
		const char *const *lines;

		ck_assert(!loop_next(loop, &found.state));
		if (found.state != LOOP_GOES_ON)
			break;
		lines = loop_plan(loop, &found.n);
		ck_assert_uint_lt(found.n, LINES_MAX);
		for (size_t i = 0; i < found.n; i++) {
			snprintf(found.lines[i], sizeof(found.lines[i]), "%s", lines[i]);
			found.trace = hash_line(found.trace, lines[i]);
		}
		found.trace *= 7;
		sim_run(&sim, protocol, lines, found.n);
		ck_assert(!loop_result(loop, &sim.trial, &learned));
	}
	loop_counts(loop, &found.counts);
	loop_free(loop);
	return found;
}

static struct loop_settings settings_of(const struct sim_protocol *protocol, uint64_t seed)
{
	return (struct loop_settings){
		.budget = { .losses_until = protocol->until, .losses = BUDGET_ANY, .crashes = protocol->crashes },
		.seed = seed,
		.attempts = 3,
		.runs = RUNS_MAX,
	};
}

static enum trial_verdict verdict_without(const struct sim_protocol *protocol, const struct found *found,
					  size_t left_out)
{
	const char *lines[LINES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < found->n; i++)
		if (i != left_out)
			lines[n++] = found->lines[i];
	sim_run(&sim, protocol, lines, n);
	return sim.trial.verdict;
}

/* Within the paper's number of runs, whatever the seed, and with no fault too many; what it certified is certified. */
START_TEST(paper)
{
	const struct sim_protocol *protocol = &protocols[_i];

	for (uint64_t seed = 1; seed <= (paper_runs[_i] ? 20 : 3); seed++) {
		struct loop_settings settings = settings_of(protocol, seed);
		struct found found = explore(protocol, &settings);

		if (!paper_runs[_i]) {
			ck_assert_int_eq(found.state, LOOP_CERTIFIED);
			continue;
		}
		ck_assert_int_eq(found.state, LOOP_VIOLATED);
		ck_assert_uint_le(found.counts.runs, paper_runs[_i]);
		ck_assert_int_eq(verdict_without(protocol, &found, SIZE_MAX), TRIAL_VIOLATED);
		for (size_t i = 0; i < found.n; i++)
			ck_assert_msg(verdict_without(protocol, &found, i) != TRIAL_VIOLATED, "%s is not needed",
				      found.lines[i]);
	}
}
END_TEST

/*
 * With roles a violation is found as soon, and the verdict is the same; so is it where nothing is believed but what a
 * run has shown.
 */
START_TEST(symmetric_and_thorough)
{
	static const struct symmetry_member logs[] = { { "b", "b" }, { "c", "c" } },
					    agents[] = { { "a", "a" }, { "b", "b" }, { "d", "d" } };
	const struct sim_protocol *protocol = &protocols[_i];
	struct symmetry_role role =
		strlen(protocol->nodes) == 3 ? (struct symmetry_role){ logs, 2 } : (struct symmetry_role){ agents, 3 };
	struct loop_settings settings = settings_of(protocol, 1);
	struct found plain = explore(protocol, &settings), other;

	settings.roles = &role;
	settings.n_roles = 1;
	other = explore(protocol, &settings);
	ck_assert_int_eq(other.state, plain.state);
	if (plain.state == LOOP_VIOLATED)
		ck_assert_uint_le(other.counts.runs, plain.counts.runs);
	if (!strcmp(protocol->name, "redun-deliv")) /* 1,700 runs */
		return;
	settings.n_roles = 0;
	settings.thorough = true;
	other = explore(protocol, &settings);
	ck_assert_int_eq(other.state, plain.state);
	ck_assert_uint_ge(other.counts.runs, plain.counts.runs);
}
END_TEST

/* The same seed, the same plans. Another seed, others, where there is a choice. */
START_TEST(seeds)
{
	struct loop_settings one = settings_of(&protocols[2], 1), two = settings_of(&protocols[2], 2);
	struct found a = explore(&protocols[2], &one), b = explore(&protocols[2], &one),
		     c = explore(&protocols[2], &two);

	ck_assert_uint_eq(a.trace, b.trace);
	ck_assert_uint_ne(a.trace, c.trace);
	one.strategy = two.strategy = LOOP_RANDOM;
	one.runs = two.runs = 20;
	a = explore(&protocols[2], &one);
	b = explore(&protocols[2], &one);
	c = explore(&protocols[2], &two);
	ck_assert_uint_eq(a.trace, b.trace);
	ck_assert_uint_ne(a.trace, c.trace);
	ck_assert(a.state == LOOP_RUNS_OUT && a.counts.runs == 20);
}
END_TEST

/* Plans by chance find what is easy to find, keep to the budget, and never crash a process twice. */
START_TEST(chance)
{
	struct loop_settings settings = settings_of(&protocols[0], 1);

	settings.strategy = LOOP_RANDOM;
	for (settings.seed = 1; settings.seed < 20; settings.seed++)
		ck_assert_int_eq(explore(&protocols[0], &settings).state, LOOP_VIOLATED);
	settings = settings_of(&protocols[2], 1);
	settings.strategy = LOOP_RANDOM;
	settings.budget.losses = 2;
	settings.runs = 60;
	for (settings.seed = 1; settings.seed < 20; settings.seed++) {
		struct found found = explore(&protocols[2], &settings);
		size_t crashes = 0;

		ck_assert(found.state == LOOP_RUNS_OUT && !found.counts.outside);
		for (size_t i = 0; i < found.n; i++)
			crashes += !strncmp(found.lines[i], "crash", 5);
		ck_assert(crashes <= 1 && found.n - crashes <= 2);
	}
}
END_TEST

/* ---- Against brute force: broadcasts that are made by chance. */

struct made {
	unsigned sends[SIM_NODES]
		      [SIM_NODES]; /* at which steps after it has the message a node sends it to which other: bits */
	bool acks;
};

static void made_receive(struct sim *s, int node, const struct sim_message *m)
{
	const struct made *made = s->protocol->data;

	if (m->kind == ACK) {
		s->nodes[node].acked[m->from] = true;
		return;
	}
	deliver(s, node);
	if (made->acks)
		sim_send(s, node, m->from, ACK, 0);
}

static void made_act(struct sim *s, int node)
{
	const struct made *made = s->protocol->data;
	struct sim_node *self = &s->nodes[node];

	originate(s, node);
	for (int to = 0; to < s->n && self->logged; to++)
		if (made->sends[node][to] >> (s->step - self->since) & 1 && !self->acked[to])
			sim_send(s, node, to, PAYLOAD, 0);
}

static uint64_t draw(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33;
}

static struct made made_draw(uint64_t seed)
{
	uint64_t state = seed * 977 + 5;
	struct made made = { .acks = draw(&state) % 3 == 0 };

	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++)
			if (i != k && (!i || draw(&state) % 3))
				made.sends[i][k] = draw(&state) % 8 | (!i && draw(&state) % 4 ? 1 : 0);
	return made;
}

struct brute {
	const struct sim_protocol *protocol;
	uint32_t losses, crashes;
	const char *plan[4];
	char lines[4][80];
	size_t n;
	bool violated;
	unsigned runs;
};

static bool planned(const struct brute *b, const char *line)
{
	for (size_t i = 0; i < b->n; i++)
		if (!strcmp(b->lines[i], line))
			return true;
	return false;
}

/*
 * Whatever the run shows can be added to its plan, while the budget lasts. Losses come too late by what that run
 * itself shows.
 */
static void brute_go(struct brute *b, uint32_t losses, uint32_t crashes)
{
	struct sim *s = malloc(sizeof(*s));

	b->runs++;
	sim_run(s, b->protocol, b->plan, b->n);
	for (size_t i = 0; i < s->n_messages; i++)
		if (s->messages[i].lost && s->messages[i].time >= b->protocol->until)
			goto out; /* outside the budget after all */
	b->violated |= s->trial.verdict == TRIAL_VIOLATED;
	for (size_t i = 0; i < s->n_messages && !b->violated; i++)
		for (int crash = 0; crash < 2 && !b->violated; crash++) {
			const struct sim_message *m = &s->messages[i];
			char *line = b->lines[b->n];

			if (crash ? !crashes : !losses || m->time >= b->protocol->until)
				continue;
			if (crash)
				snprintf(line, 80, "crash %c at send %s", b->protocol->nodes[m->from], m->label);
			else
				snprintf(line, 80, "cut %s", m->label);
			if (planned(b, line))
				continue;
			b->plan[b->n++] = line;
			brute_go(b, losses - !crash, crashes - crash);
			b->n--;
		}
out:
	free(s);
}

/*
 * A violation is in the budget if and only if the loop finds one, for broadcasts in which a goal can be reached in
 * several ways. Losing more never helps there, so that what the loop believes is true; with acknowledgements it may,
 * and there only the thorough one is held to it.
 */
START_TEST(brute_force)
{
	unsigned violated = 0, certified = 0;

	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct made made = made_draw(seed);
		struct sim_protocol protocol = { "made",       "abc",	 6,	    1 + seed % 4, seed % 2,
						 made_receive, made_act, log_check, &made };
		struct brute brute = { .protocol = &protocol,
				       .losses = 1 + (uint32_t)(seed / 2 % 2),
				       .crashes = seed % 2 };
		struct loop_settings settings = settings_of(&protocol, seed);
		struct found found;
		bool good;

		settings.budget.losses = brute.losses;
		settings.thorough = made.acks;
		sim_run(&sim, &protocol, NULL, 0);
		good = sim.trial.verdict == TRIAL_GOOD;
		found = explore(&protocol, &settings);
		if (!good) {
			ck_assert_int_eq(found.state, LOOP_NOT_GOOD);
			continue;
		}
		brute_go(&brute, brute.losses, brute.crashes);
		ck_assert_msg(found.state == (brute.violated ? LOOP_VIOLATED : LOOP_CERTIFIED),
			      "seed %llu: brute force says %d, the loop %d", (unsigned long long)seed, brute.violated,
			      found.state);
		if (!brute.violated) /* else either may be lucky */
			ck_assert_uint_le(found.counts.runs, brute.runs);
		violated += brute.violated;
		certified += !brute.violated;
	}
	ck_assert_msg(violated >= 40 && certified >= 40, "%u violated, %u certified: the sample says little", violated,
		      certified);
}
END_TEST

/* ---- What else can come of a run. */

static enum loop_state step(struct loop *loop, enum trial_verdict verdict, struct loop_learned *learned)
{
	static const struct trial_message messages[] = { { "a>b:1#1/1", "a", "b", 1, false },
							 { "b>c:1#1/1", "b", "c", 2, false } };
	static const struct trial_crash crashes[] = { { "a", "a>b:1#1/1", 1 }, { "b", "b>c:1#1/1", 2 } };
	static const struct trial_goal goal = { "c has it", "c", messages, 2, crashes, 2 };
	struct trial trial = {
		.verdict = verdict, .goals = &goal, .n_goals = 1, .messages = messages, .n_messages = 2
	};
	enum loop_state state;

	ck_assert(!loop_result(loop, &trial, learned));
	ck_assert(!loop_next(loop, &state));
	return state;
}

static struct loop *begun(const struct loop_settings *settings)
{
	struct loop_learned learned;
	enum loop_state state;
	struct loop *loop;
	size_t n;

	ck_assert(!loop_new(settings, &loop) && !loop_next(loop, &state) && state == LOOP_GOES_ON);
	loop_plan(loop, &n);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(step(loop, TRIAL_GOOD, &learned), LOOP_GOES_ON);
	ck_assert(learned.goals == 1 && learned.supports == 1 && learned.messages == 2);
	return loop;
}

/* What says nothing is run again, as often as was asked for, and then is not covered, nor is what contains it run. */
START_TEST(inconclusive)
{
	struct loop_settings settings = { .budget = { .losses_until = 9, .losses = BUDGET_ANY, .crashes = 0 },
					  .attempts = 3,
					  .seed = 1 };
	struct loop *loop = begun(&settings);
	struct loop_learned learned;
	struct loop_counts counts;
	bool outside;
	size_t n;

	ck_assert_str_eq(loop_plan(loop, &n)[0], "cut b>c:1#1/1"); /* the later one */
	for (unsigned i = 1; i < 3; i++) {
		ck_assert(loop_attempt(loop) == i && step(loop, TRIAL_INCONCLUSIVE, &learned) == LOOP_GOES_ON &&
			  learned.again);
		ck_assert_str_eq(loop_plan(loop, &n)[0], "cut b>c:1#1/1");
	}
	ck_assert_int_eq(step(loop, TRIAL_INCONCLUSIVE, &learned), LOOP_GOES_ON);
	ck_assert(learned.given_up && !learned.again && loop_n_open(loop) == 1);
	ck_assert_str_eq(loop_open(loop, 0, &outside), "cut b>c:1#1/1");
	ck_assert(!outside);
	ck_assert_str_eq(loop_plan(loop, &n)[0], "cut a>b:1#1/1");
	ck_assert_int_eq(step(loop, TRIAL_VACUOUS, &learned), LOOP_CERTIFIED);
	loop_counts(loop, &counts);
	ck_assert(counts.runs == 5 && counts.plans == 3 && counts.inconclusive == 3 && counts.vacuous == 1);
	loop_free(loop);
}
END_TEST

/* Without faults the outcome must be good, or there is nothing to learn from. */
START_TEST(not_good)
{
	static const enum trial_verdict verdicts[] = { TRIAL_VACUOUS, TRIAL_VIOLATED, TRIAL_INCONCLUSIVE };
	struct loop_settings settings = { .budget = { .crashes = 1 }, .attempts = 1 };
	struct loop_learned learned;
	enum loop_state state;
	struct loop *loop;

	ck_assert(!loop_new(&settings, &loop) && !loop_next(loop, &state));
	ck_assert_int_eq(step(loop, verdicts[_i], &learned), LOOP_NOT_GOOD);
	loop_free(loop);
}
END_TEST

/*
 * A loss that came later in that run than the budget allows is no violation within it; it is said, and is not
 * covered.
 */
START_TEST(outside)
{
	static const struct trial_message late = { "b>c:1#1/1", "b", "c", 3, false };
	struct trial trial = { .verdict = TRIAL_VIOLATED, .messages = &late, .n_messages = 1 };
	struct loop_settings settings = { .budget = { .losses_until = 3, .losses = BUDGET_ANY }, .attempts = 1 };
	struct loop *loop = begun(&settings);
	struct loop_learned learned;
	enum loop_state state;
	bool is_outside;

	ck_assert(!loop_result(loop, &trial, &learned) && learned.outside);
	ck_assert_str_eq(learned.outside_label, "b>c:1#1/1");
	ck_assert(!loop_next(loop, &state) && state == LOOP_GOES_ON);
	ck_assert_str_eq(loop_open(loop, 0, &is_outside), "cut b>c:1#1/1");
	ck_assert(is_outside);
	ck_assert_int_eq(step(loop, TRIAL_VIOLATED, &learned), LOOP_VIOLATED);
	loop_free(loop);
}
END_TEST

/* With `all`, what contains a violation is not run, also not if only a smaller plan is known to be one. */
START_TEST(all_violations)
{
	struct loop_settings settings = { .budget = { .losses_until = 9, .losses = BUDGET_ANY, .crashes = 2 },
					  .attempts = 1,
					  .all = true };
	struct loop *loop = begun(&settings);
	struct loop_learned learned;
	struct loop_counts counts;
	unsigned runs = 1;

	while (step(loop, TRIAL_VIOLATED, &learned) == LOOP_GOES_ON)
		runs++;
	loop_counts(loop, &counts);
	ck_assert(runs == 4 && counts.violated == 4 && counts.plans == 5); /* each alone: two losses, two crashes */
	loop_free(loop);

	loop = begun(&settings);
	ck_assert(!loop_smaller(loop, (const char *const[]){ "cut a>b:1#1/1", "cut nobody>b:1#1/1" }, 2));
	ck_assert(!loop_smaller(loop, (const char *const[]){ "crash a at send a>b:1#1/1" }, 1));
	for (runs = 1; step(loop, TRIAL_VIOLATED, &learned) == LOOP_GOES_ON;)
		runs++;
	loop_counts(loop, &counts);
	ck_assert(runs == 2 && counts.supersets == 2);
	loop_free(loop);
}
END_TEST

/* Who may not be hit is not, nor is what goes only between such. */
START_TEST(processes)
{
	static const char *const only_c[] = { "c", NULL };
	struct loop_settings settings = {
		.budget = { .losses_until = 9, .losses = BUDGET_ANY, .crashes = 2, .processes = only_c }, .attempts = 1
	};
	struct loop *loop = begun(&settings);
	struct loop_learned learned;
	struct loop_counts counts;
	size_t n;

	ck_assert_str_eq(loop_plan(loop, &n)[0], "cut b>c:1#1/1");
	ck_assert_int_eq(step(loop, TRIAL_VACUOUS, &learned), LOOP_CERTIFIED);
	loop_counts(loop, &counts);
	ck_assert(counts.losses == 1 && !counts.crashes);
	loop_free(loop);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ldfi");
	TCase *tcase = tcase_create("loop");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 200);
	tcase_add_loop_test(tcase, paper, 0, N_PROTOCOLS);
	tcase_add_loop_test(tcase, symmetric_and_thorough, 0, N_PROTOCOLS);
	tcase_add_test(tcase, seeds);
	tcase_add_test(tcase, chance);
	tcase_add_test(tcase, brute_force);
	tcase_add_test(tcase, inconclusive);
	tcase_add_loop_test(tcase, not_good, 0, 3);
	tcase_add_test(tcase, outside);
	tcase_add_test(tcase, all_violations);
	tcase_add_test(tcase, processes);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
