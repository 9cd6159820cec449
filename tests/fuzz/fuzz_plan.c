/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Text as a plan. What is read prints to a line that is read as the same, and what is wrong has a column in the line; whether it fits an
 * experiment is found out, whatever the answer.
 */
#include "collector/plan.h"
#include "tests/fuzz/fuzz.h"

static const char experiment[] = "experiment: x\nboxes: [s1, s2, c]\nprocesses:\n  - {name: s1, box: s1, run: [/bin/a]}\n"
				 "  - {name: s2, box: s2, run: [/bin/a]}\nworkload: {name: client, box: c, run: [/bin/a]}\n";

static void line_fuzz(const char *line, size_t size)
{
	struct fault fault, again;
	struct error e = { "" };
	int column = 0, err = fault_parse(line, size, &fault, &column, &e);

	if (err) {
		must_explain(err, &e);
		must(column >= 1 && (size_t)column <= size + 1);
		return;
	}
	must(!fault_parse(fault.text, strlen(fault.text), &again, &column, &e));
	must(!strcmp(fault.text, again.text) && fault.kind == again.kind && fault.flags == again.flags);
	must(fault.duration_ns == again.duration_ns && fault.lease_ns == again.lease_ns && fault.ppm == again.ppm);
	must(fault.rate == again.rate && fault.times == again.times && fault.at.kind == again.at.kind);
	fault_fini(&again);
	fault_fini(&fault);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end;
	struct experiment *x = NULL;
	struct plan plan = { .n = 0 };
	struct error e = { "" };
	int err;

	line_fuzz(text, (end = size ? memchr(text, '\n', size) : NULL) ? (size_t)(end - text) : size);
	err = plan_add_text(&plan, "plan", text, size, &e);
	if (err)
		must_explain(err, &e);
	if (!plan.n)
		return 0;
	must(!experiment_parse("x.yaml", "/x.yaml", experiment, sizeof(experiment) - 1, &x, &e));
	err = plan_check(&plan, x, NULL, false, &e);
	if (err)
		must_explain(err, &e);
	for (size_t i = 0; i < plan.n; i++)
		plan_concerns(x, &plan.faults[i], "s1");
	must(!plan_number(&plan, 1, &e) && !plan_live(&plan, &e));
	plan_fini(&plan);
	experiment_free(x);
	return 0;
}
