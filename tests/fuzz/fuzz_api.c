/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Frames of the API: the first byte says whether a controller's (0) or a server's. What is understood can be written
 * again, and means the same then.
 */
#include "proto/api.h"
#include "tests/fuzz/fuzz.h"

static void request_fuzz(const uint8_t *data, size_t size)
{
	unsigned char *bytes = NULL, *again = NULL;
	struct api_request request, second;
	struct error e = { "" };
	size_t n, n_again;
	int err = api_request_decode(data, size, &request, &e);

	if (err) {
		must_explain(err, &e);
		return;
	}
	must(!api_request_encode(&request, &bytes, &n));
	must(!api_request_decode(bytes, n, &second, &e) && second.kind == request.kind && second.id == request.id);
	must(!api_request_encode(&second, &again, &n_again) && n == n_again && !memcmp(bytes, again, n));
	api_request_fini(&request);
	api_request_fini(&second);
	free(bytes);
	free(again);
}

static void answer_fuzz(const uint8_t *data, size_t size)
{
	unsigned char *bytes = NULL, *again = NULL;
	struct api_answer answer, second;
	struct error e = { "" };
	size_t n, n_again;
	int err = api_answer_decode(data, size, &answer, &e);

	if (err) {
		must_explain(err, &e);
		return;
	}
	must(!api_answer_encode(&answer, &bytes, &n));
	must(!api_answer_decode(bytes, n, &second, &e) && second.kind == answer.kind && second.id == answer.id);
	must(!api_answer_encode(&second, &again, &n_again) && n == n_again && !memcmp(bytes, again, n));
	api_answer_fini(&answer);
	api_answer_fini(&second);
	free(bytes);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0])
		answer_fuzz(data + 1, size - 1);
	else
		request_fuzz(data + 1, size - 1);
	return 0;
}
