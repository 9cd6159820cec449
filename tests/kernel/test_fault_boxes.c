// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Faults between boxes: partitions, of which not one packet gets through, and random ones, each decision of which can
 * be computed again. Between three boxes, over datagrams that carry their number and time, and a conversation that
 * was there before.
 */
#include "tests/kernel/fault_posts.h"

#define DATAGRAMS 1000
#define MILLION 1000000u

static void partition_test(struct fault_world *fw, enum fault_kind kind, uint32_t flags, const char *name)
{
	static const uint32_t from[] = { 1 }, to[] = { 2 };
	struct kernel_fault fault = {.id = 1,
				     .kind = kind,
				     .flags = flags,
				     .from = from,
				     .n_from = 1,
				     .to = to,
				     .n_to = kind == FAULT_PARTITION};
	struct kernel_receipt receipt = { 0 };
	struct datagram datagram;
	struct posts posts;
	bool oneway = flags & FAULT_F_ONEWAY;

	fault_world_open(fw);
	posts_open(fw, &posts);
	/* nobody has asked for anybody's address yet: neither ARP nor neighbour discovery gets through */
	arm(fw, &fault);
	for (int six = 0; six < 2; six++) {
		int family = six ? AF_INET6 : AF_INET;

		expect(fw->w, is_blocked(fw, &posts, 0, 1, family, 1));
		expect(fw->w, passes(fw, &posts, 1, 2, family) && passes(fw, &posts, 2, 1, family));
		if (kind == FAULT_PARTITION)
			expect(fw->w, passes(fw, &posts, 0, 2, family) && passes(fw, &posts, 2, 0, family));
		else
			expect(fw->w, is_blocked(fw, &posts, 0, 2, family, 1));
	}
	/* questions, which are short; had one been answered, the datagram would have come too */
	faults_receipt(fw->faults, 1, &receipt);
	expect(fw->w, receipt.bytes && receipt.bytes <= receipt.packets * 80);
	expect(fw->w, !faults_lift(fw->faults, 1));
	for (int six = 0; six < 2; six++)
		for (int i = 0; i < 6; i++)
			expect(fw->w, passes(fw, &posts, i / 2, (i / 2 + 1 + i % 2) % 3, six ? AF_INET6 : AF_INET));
	/* once more, now that addresses are known; the other way is free if it is not asked for */
	fault.id = 2;
	while (post_read(&posts, 1, 0, &datagram) || post_read(&posts, 0, 0, &datagram))
		;
	arm(fw, &fault);
	for (int six = 0; six < 2; six++) {
		int family = six ? AF_INET6 : AF_INET;

		expect(fw->w, is_blocked(fw, &posts, 0, 1, family, 2));
		expect(fw->w, oneway ? passes(fw, &posts, 1, 0, family) : is_blocked(fw, &posts, 1, 0, family, 2));
	}
	faults_lift(fw->faults, 2);
	expect(fw->w, passes(fw, &posts, 0, 1, AF_INET) && passes(fw, &posts, 1, 0, AF_INET6));
	posts_close(&posts);
	fault_world_close(fw);
	fw->w->n = 0;
	test_end(fw->w, name);
}

/* From a moment on: the message and all after it do not arrive, what was before has; another pair of boxes does not
 * notice. */
static void partition_lift(struct fault_world *fw, const struct trial *trial)
{
	struct conversation *c = &fw->conversations[0];
	struct kernel_receipt receipt;

	if (faults_receipt(fw->faults, 1, &receipt) || receipt.state != FAULT_STATE_FIRED)
		goto out;
	if (receipt.packets >= 3) {
		expect(fw->w, c->server.got == bytes_before(trial, 0, 10));
		expect(fw->w, !faults_lift(fw->faults, 1));
	}
out:
	if (c->client.done && c->server.done)
		__atomic_store_n(&c->finish, 1, __ATOMIC_SEQ_CST);
}

static void partition_moment_test(struct fault_world *fw, enum fault_moment_kind moment, const char *name)
{
	static const uint32_t from[] = { 1 }, to[] = { 2, 3 };
	struct trial trial = { .family = AF_INET6, .n = 1 };
	struct kernel_fault fault = {.id = 1,
				     .kind = FAULT_PARTITION,
				     .moment = moment,
				     .message = moment == MOMENT_SEND ? 10 : 9,
				     .from = from,
				     .n_from = 1,
				     .to = to,
				     .n_to = 2};
	struct kernel_receipt receipt = { 0 };

	fault_world_open(fw);
	where_of(&trial, 0, &fault.where);
	fault.reply = moment == MOMENT_RECV;
	arm(fw, &fault);
	programs_start(fw, &trial);
	programs_finish(fw, &trial, partition_lift);
	faults_receipt(fw->faults, 1, &receipt);
	expect(fw->w, receipt.state == FAULT_STATE_LIFTED && receipt.fired == 1 && receipt.effect_ns);
	expect(fw->w, fw->conversations[0].server.got == bytes_before(&trial, 0, MESSAGES + 1) &&
			      !fw->conversations[0].server.corrupt);
	fault_world_close(fw);
	fw->w->n = 0;
	test_end(fw->w, name);
}

/* Sends numbered datagrams from c to s; how often each arrived, and whether it was as it was sent. */
static void flood(struct fault_world *fw, struct posts *posts, uint32_t id, unsigned int count[DATAGRAMS],
		  unsigned int *ret_changed)
{
	struct kernel_receipt receipt;
	struct datagram datagram;

	*ret_changed = 0;
	for (uint32_t i = 0; i < DATAGRAMS; i++)
		post(fw, posts, 0, 1, AF_INET, i);
	faults_receipt(fw->faults, id, &receipt);
	while (post_read(posts, 1, 200, &datagram)) {
		unsigned int bits = 0;

		for (size_t i = 0; i < sizeof(datagram.filler); i++)
			bits += (unsigned int)__builtin_popcount(datagram.filler[i] ^ 0x55);
		bits += datagram.from != 0;
		*ret_changed += bits != 0 || datagram.number >= DATAGRAMS;
		if (datagram.number < DATAGRAMS)
			count[datagram.number]++;
	}
}

static void random_test(struct fault_world *fw, enum fault_kind kind, uint32_t ppm, const char *name)
{
	static const uint32_t from[] = { 1 }, to[] = { 2 };
	struct kernel_fault fault = {.id = 1,
				     .kind = kind,
				     .flags = FAULT_F_ONEWAY,
				     .from = from,
				     .n_from = 1,
				     .to = to,
				     .n_to = 1,
				     .ppm = ppm,
				     .seed = 4711};
	unsigned int count[DATAGRAMS] = { 0 }, changed, yes = 0, wrong = 0;
	struct kernel_receipt receipt = { 0 };
	struct posts posts;

	fault_world_open(fw);
	posts_open(fw, &posts);
	expect(fw->w, passes(fw, &posts, 0, 1, AF_INET) && passes(fw, &posts, 1, 0, AF_INET));
	arm(fw, &fault);
	flood(fw, &posts, 1, count, &changed);
	faults_receipt(fw->faults, 1, &receipt);
	for (uint64_t n = 0; n < receipt.decisions; n++)
		yes += (unsigned int)fault_decision(fault.seed, n, ppm);
	expect(fw->w, receipt.decisions >= DATAGRAMS && receipt.packets <= yes);
	/* a packet without anything of a program's in it cannot be changed */
	expect(fw->w, receipt.packets + (kind == FAULT_CORRUPT ? receipt.decisions - DATAGRAMS : 0) >= yes);
	expect(fw->w, yes > ppm / 1000 - ppm / 4000 && (ppm == MILLION || yes < ppm / 1000 + ppm / 4000));
	/* unless something else was sent between the boxes, decision n is that about datagram n */
	for (uint32_t i = 0; receipt.decisions == DATAGRAMS && i < DATAGRAMS; i++) {
		unsigned int is = (unsigned int)fault_decision(fault.seed, i, ppm);

		wrong += kind == FAULT_LOSS ? count[i] != !is : kind == FAULT_DUPLICATE ? count[i] != 1 + is : 0;
	}
	expect(fw->w, !wrong);
	if (kind == FAULT_CORRUPT)
		expect(fw->w,
		       changed >= yes / 2 && changed <= yes); /* the rest is in the time, which is not looked at */
	else
		expect(fw->w, !changed);
	if (fw->w->failures)
		printf("# %llu decisions, %u yes, %u wrong, %u changed\n", (unsigned long long)receipt.decisions, yes,
		       wrong, changed);
	posts_close(&posts);
	fault_world_close(fw);
	fw->w->n = 0;
	test_end(fw->w, name);
}

/* What the agent needs itself is never touched, whatever is armed. */
static void spare_test(struct fault_world *fw)
{
	static const uint32_t from[] = { 1, 2, 3 };
	struct kernel_fault faults[] = { { .id = 1, .kind = FAULT_ISOLATE, .from = from, .n_from = 3 },
					 { .id = 2, .kind = FAULT_LOSS, .from = from, .n_from = 3, .ppm = MILLION } };
	struct posts posts;
	struct error e = { "" };

	fault_world_open(fw);
	posts_open(fw, &posts);
	for (int i = 0; i < 2; i++)
		expect(fw->w, !faults_spare(fw->faults, i ? fw->boxes->box[1].ip6 : fw->boxes->box[1].ip4, PORT, &e));
	arm(fw, &faults[0]);
	arm(fw, &faults[1]);
	for (int six = 0; six < 2; six++)
		expect(fw->w, passes(fw, &posts, 0, 1, six ? AF_INET6 : AF_INET) &&
				      passes(fw, &posts, 1, 0, six ? AF_INET6 : AF_INET));
	expect(fw->w, is_blocked(fw, &posts, 0, 2, AF_INET, 1));
	posts_close(&posts);
	fault_world_close(fw);
	test_end(fw->w, "the agent's own link passes, whatever its boxes are cut off from");
}

int main(void)
{
	struct fault_world fw = { .client = client_main };
	int status;

	if (!fault_world_new(&fw, &status))
		return status;
	partition_test(&fw, FAULT_PARTITION, 0,
		       "partition: no packet either way, ARP and neighbour discovery neither; others pass; it heals");
	partition_test(&fw, FAULT_PARTITION, FAULT_F_ONEWAY, "partition oneway: the other direction passes");
	partition_test(&fw, FAULT_ISOLATE, 0, "isolate: against everyone");
	partition_moment_test(
		&fw, MOMENT_SEND,
		"partition from a send: on a connection that was there, from that message on; it heals");
	partition_moment_test(&fw, MOMENT_RECV, "partition from a receive");
	random_test(&fw, FAULT_LOSS, MILLION / 4, "loss: just the datagrams that the seed says");
	random_test(&fw, FAULT_DUPLICATE, MILLION / 4, "duplicate: just the datagrams that the seed says, once more");
	random_test(&fw, FAULT_CORRUPT, MILLION / 4, "corrupt: so many arrive changed, with a valid checksum");
	random_test(&fw, FAULT_LOSS, MILLION, "loss of everything");
	spare_test(&fw);
	world_free(fw.w);
	return 0;
}
