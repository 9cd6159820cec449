/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Seeded changes: pairs of talks that differ in one thing, and what is said of it. For programs that include talk.h. */
#ifndef TESTS_UNIT_DIFF_GOLDEN_H
#define TESTS_UNIT_DIFF_GOLDEN_H

#define ASK(from, to) from ">" to " " to ">" from " "
#define THREE "c+s c+p c+q p+q "
#define FIRST "c s p q"

/* Of each seeded change: two talks, and all that is said. */
static const struct {
	const char *name, *before, *after, *said;
} golden[] = {
	{ "nothing", THREE ASK("c", "s"), THREE ASK("c", "s"), "" },
	{ "one more retry, on a new connection", "c+s " ASK("c", "s") "c.", "c+s c>s c+s " ASK("c", "s") "c.",
	  "connection_added: c tried s again: connection c>s:7000#1 is new (1 message, no reply)\n"
	  "  c>s:7000#1/1\n" },
	{ "one more retry, refused", "c-p c+p " ASK("c", "p"), "2(c-p) c+p " ASK("c", "p"),
	  "connection_added: c tried p:7000 again: connection c>p:7000#2 is new (refused)\n" },
	{ "one more retry, on the same connection", THREE "c>s " ASK("c", "s"), THREE "2(c>s) " ASK("c", "s"),
	  "messages_added: c sent s 1 message more: c>s:7000#1/3 is new\n"
	  "  c>s:7000#1/3\n" },
	{ "two messages swapped", THREE ASK("c", "s") ASK("c", "p") ASK("c", "q"), THREE ASK("c", "s") ASK("c", "q") ASK("c", "p"),
	  "reordered: c: send c>p:7000#1/1 and what follows, 2 moments, came after recv c<q:7000#1/1, not before it\n" },
	{ "a reply missing", THREE ASK("c", "s") ASK("c", "q"), THREE ASK("c", "s") "c>q",
	  "messages_removed: q's reply never came: c<q:7000#1/1 is not there\n"
	  "  c<q:7000#1/1\n" },
	{ "a reply missing in the middle", THREE "3(" ASK("c", "s") ")", THREE ASK("c", "s") "c>s " ASK("c", "s"),
	  "messages_removed: s's reply never came: c<s:7000#1/2 is not there\n"
	  "  c<s:7000#1/2\n" },
	{ "a reply that nobody read", THREE ASK("c", "q"), THREE "c>q q>c?",
	  "unreceived: q's reply never came: c<q:7000#1/1 was sent, and not received\n"
	  "  c<q:7000#1/1\n" },
	{ "another server chosen", "c+s " ASK("c", "s") "c+p " ASK("c", "p") "c.", "c+s " ASK("c", "s") "c+q " ASK("c", "q") "c.",
	  "connection_instead: c tried q instead of p: connection c>q:7000#1 is in the place of c>p:7000#1\n"
	  "  c>q:7000#1/1\n"
	  "  c<q:7000#1/1\n" },
	{ "one turn more in a loop", THREE "3(" ASK("c", "s") ")" ASK("c", "p"), THREE "4(" ASK("c", "s") ")" ASK("c", "p"),
	  "messages_added: c asked s once more: c>s:7000#1/4 and c<s:7000#1/4 are new\n"
	  "  c>s:7000#1/4\n"
	  "  c<s:7000#1/4\n" },
	{ "one message more in a loop", THREE "c>s 3(s>c) c>p", THREE "c>s 4(s>c) c>p",
	  "messages_added: s sent c 1 message more: c<s:7000#1/4 is new\n"
	  "  c<s:7000#1/4\n" },
	{ "two turns less", THREE "5(" ASK("c", "s") ")", THREE "3(" ASK("c", "s") ")",
	  "messages_removed: c asked s twice less: c>s:7000#1/4-5 and c<s:7000#1/4-5 are not there\n"
	  "  c>s:7000#1/4\n"
	  "  c>s:7000#1/5\n"
	  "  c<s:7000#1/4\n"
	  "  c<s:7000#1/5\n" },
	{ "as many, in another order", THREE "2(" ASK("c", "s") ")", THREE "2(c>s) 2(s>c)",
	  "reordered: s: send c<s:7000#1/1 came after recv c>s:7000#1/2, not before it\n"
	  "reordered: c: recv c<s:7000#1/1 came after send c>s:7000#1/2, not before it\n" },
	{ "a reply missing, as the server has it", THREE "2(" ASK("c", "s") ")", THREE "c>s s>c? c>s c<s",
	  "messages_removed: s's reply never came: c<s:7000#1/2 is not there\n"
	  "  c<s:7000#1/2\n"
	  "reordered: c: recv c<s:7000#1/1 came after send c>s:7000#1/2, not before it\n" },
	{ "another end", THREE ASK("c", "s") "c.", THREE ASK("c", "s") "c.3", "exit: c exited with status 3; before, it exited with status 0\n" },
	{ "refused", "c+s c>s", "c-s",
	  "result: connection c>s:7000#1 was refused; before, it was made\n"
	  "messages_removed: c sent s 1 message less: c>s:7000#1/1 is not there\n"
	  "  c>s:7000#1/1\n" },
	{ "a cut, and what came of it", THREE ASK("c", "s") ASK("c", "p") ASK("p", "q") "c.", THREE ASK("c", "s") "c>p! c.1",
	  "fault: fault 1 fired: cut c>p:7000#1/1\n"
	  "unreceived: c>p:7000#1/1 was sent, and not received\n"
	  "  c>p:7000#1/1\n"
	  "  by run 2: cut c>p:7000#1/1, which took it\n"
	  "messages_removed: p's reply never came: c<p:7000#1/1 is not there\n"
	  "  c<p:7000#1/1\n"
	  "  by run 2: cut c>p:7000#1/1\n"
	  "messages_removed: p asked q once less: p>q:7000#1/1 and p<q:7000#1/1 are not there\n"
	  "  p>q:7000#1/1\n"
	  "  p<q:7000#1/1\n"
	  "  by run 2: cut c>p:7000#1/1\n"
	  "exit: c exited with status 1; before, it exited with status 0\n"
	  "  by run 2: cut c>p:7000#1/1\n" },
	{ "a cut, after which a process leaves something else", THREE "c>p " ASK("c", "s"), THREE "c>p!",
	  "fault: fault 1 fired: cut c>p:7000#1/1\n"
	  "unreceived: c>p:7000#1/1 was sent, and not received\n"
	  "  c>p:7000#1/1\n"
	  "  by run 2: cut c>p:7000#1/1, which took it\n"
	  "messages_removed: c asked s once less: c>s:7000#1/1 and c<s:7000#1/1 are not there\n"
	  "  c>s:7000#1/1\n"
	  "  c<s:7000#1/1\n"
	  "  by run 2: cut c>p:7000#1/1\n" },
	{ "a wall", THREE ASK("c", "p") ASK("c", "s"), THREE "c>p* " ASK("c", "s"),
	  "fault: fault 1 fired: isolate p\n"
	  "unreceived: c>p:7000#1/1 was sent, and not received\n"
	  "  c>p:7000#1/1\n"
	  "  by run 2: isolate p, which took it\n"
	  "messages_removed: p's reply never came: c<p:7000#1/1 is not there\n"
	  "  c<p:7000#1/1\n"
	  "  by run 2: isolate p\n" },
	{ "a wall that comes while a message is on its way", THREE ASK("c", "p") ASK("c", "s"), THREE "c>p% " ASK("c", "s"),
	  "fault: fault 1 fired: isolate p\n"
	  "unreceived: c>p:7000#1/1 was sent, and not received\n"
	  "  c>p:7000#1/1\n"
	  "  by run 2: isolate p, which took it\n"
	  "messages_removed: p's reply never came: c<p:7000#1/1 is not there\n"
	  "  c<p:7000#1/1\n"
	  "  by run 2: isolate p\n" },
	{ "a cut that somebody else feels, who waits in vain", THREE "c>p " ASK("p", "q") "p>c " ASK("c", "s"),
	  THREE "c>p p>q! 2(" ASK("c", "s") ")",
	  "fault: fault 1 fired: cut p>q:7000#1/1\n"
	  "unreceived: p>q:7000#1/1 was sent, and not received\n"
	  "  p>q:7000#1/1\n"
	  "  by run 2: cut p>q:7000#1/1, which took it\n"
	  "messages_removed: q's reply never came: p<q:7000#1/1 is not there\n"
	  "  p<q:7000#1/1\n"
	  "  by run 2: cut p>q:7000#1/1\n"
	  "messages_removed: p's reply never came: c<p:7000#1/1 is not there\n"
	  "  c<p:7000#1/1\n"
	  "  by run 2: cut p>q:7000#1/1\n"
	  "messages_added: c asked s once more: c>s:7000#1/2 and c<s:7000#1/2 are new\n"
	  "  c>s:7000#1/2\n"
	  "  c<s:7000#1/2\n"
	  "  by run 2: cut p>q:7000#1/1\n" },
	{ "a cut, and something else", THREE ASK("c", "s") ASK("p", "q") ASK("c", "p"), THREE "c>s! " ASK("p", "q") "p>q " ASK("c", "p"),
	  "fault: fault 1 fired: cut c>s:7000#1/1\n"
	  "unreceived: c>s:7000#1/1 was sent, and not received\n"
	  "  c>s:7000#1/1\n"
	  "  by run 2: cut c>s:7000#1/1, which took it\n"
	  "messages_removed: s's reply never came: c<s:7000#1/1 is not there\n"
	  "  c<s:7000#1/1\n"
	  "  by run 2: cut c>s:7000#1/1\n"
	  "messages_added: p sent q 1 message more: p>q:7000#1/2 is new\n"
	  "  p>q:7000#1/2\n" },
};
#define N_GOLDEN (sizeof(golden) / sizeof(*golden))

#endif
