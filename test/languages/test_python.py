"""test_python.py: examples/python/imagine.py against the stand-in, whose settings are in the
environment: run by test/e2e/languages.test.mjs."""
import asyncio
import gc
import os
import signal
import threading
import unittest

import imagine

CAT = {"model": "gitee/z-image-turbo", "prompt": "a cat"}


def client(settings=None, **options):
    return imagine.Client(settings={"STATE_FILE": ":memory:", "GITEE_TOKENS": "t1,t2", **(settings or {})}, **options)


class Instant(imagine.Provider):
    name, token_optional = "instant", True
    catalogue = {"models": [{"key": "one", "type": ["text2image"]}]}

    async def generate(self, call):
        return {"url": "data:,x", "width": call.params["width"]}


class Slow(Instant):
    name = "slow"

    async def generate(self, call):
        await call.sleep(60)


class Picky(imagine.Provider):
    """Asks the stand-in as gitee does, and says what it wants."""

    name = "picky"
    catalogue = {"api_base": os.environ["GITEE_API_BASE"], "models": [{"key": "z-image-turbo", "type": ["text2image"]}]}

    def __init__(self):
        super().__init__()
        self.tokens = []

    async def generate(self, call):
        self.tokens.append(call.token)
        await call.sleep(0.01)
        if call.params["prompt"] == "broken":
            raise KeyError("nobody expected that")
        if call.token == "spent":
            raise imagine.Refused(imagine.EQUOTA, "nothing left")
        answer = await call.http(call.url("/images/generations"), json={
            "model": "z-image-turbo", "prompt": call.params["prompt"], "width": 1024, "height": 1024,
            "seed": call.params["seed"], "num_inference_steps": 9, "response_format": "url"})
        return {"url": answer.json()["data"][0]["url"]}


class Teller(imagine.Provider):
    """Streams a text as gitee does."""

    name, token_optional = "teller", True
    catalogue = {"api_base": os.environ["GITEE_API_BASE"], "models": [{"key": "qwen-3", "type": ["text2text"]}]}

    def __init__(self):
        super().__init__()
        self.answers = []

    async def text(self, call):
        prompt = call.params["prompt"]
        asked = {"model": "x-one", "messages": [{"role": "user", "content": prompt}]}
        url, headers = call.url("/chat/completions"), {"Authorization": "Bearer t1"}
        if not call.wants_pieces:
            answer = await call.http(url, json=asked, headers=headers, auth="none")
            return {"text": answer.json()["choices"][0]["message"]["content"]}
        events = call.events(url, json={**asked, "stream": prompt != "no stream"}, headers=headers, auth="none", anyStatus=True)
        async for event in events:
            if event.data == "[DONE]" or prompt == "break":
                break
            call.delta(event.json()["choices"][0]["delta"].get("content", ""))
        self.answers.append(events.answer)
        if prompt == "break":
            await call.sleep(0.001)
            call.delta("enough")
        if events.answer:
            call.delta(f"{events.answer.status} {events.answer.type}")
        return {}


class Blocking(unittest.TestCase):
    def test_a_picture(self):
        with client() as im:
            result = im.call("generate", seed=7, **CAT)
            self.assertRegex(result["url"], "^http")
            self.assertEqual(result["seed"], 7)

    def test_a_child_of_fork_leaves_the_client_alone(self):
        with client() as im:
            child = os.fork()
            if child == 0:  # no call of unittest's own: it would run the parent's tests on
                try:
                    im.call("generate", **CAT)
                except imagine.Error as error:
                    im.close()
                    os._exit(0 if error.name == "IMAGINE_ECLOSED" else 1)
                os._exit(2)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
            self.assertRegex(im.call("generate", **CAT)["url"], "^http")

    def test_what_is_wrong_is_an_error(self):
        with client() as im:
            with self.assertRaises(imagine.Error) as caught:
                im.call("generate", prompt="")
            self.assertEqual((caught.exception.name, caught.exception.http_status), ("IMAGINE_EINVAL", 400))
            with self.assertRaises(imagine.Error) as caught:
                im.call("generate", model="nobody/x", prompt="a cat")
            self.assertEqual(caught.exception.number, imagine.EPROVIDER)
            with self.assertRaises(imagine.Error) as caught:
                im.tokens("nobody")
            self.assertEqual(caught.exception.number, imagine.EPROVIDER)
        with self.assertRaises(imagine.Error) as caught:
            imagine.Client(settings={"PORT": "many"})
        self.assertIn("PORT", str(caught.exception))
        with self.assertRaises(imagine.Error) as caught:
            imagine.Client(colour="red")
        self.assertIn("colour", str(caught.exception))
        for ask in (lambda: im.call("generate", **CAT), im.models, lambda: im.tokens("gitee")):
            with self.assertRaises(imagine.Error) as caught:
                ask()
            self.assertEqual(caught.exception.number, imagine.ECLOSED)

    def test_of_a_bad_catalogue_entry_the_place_is_told(self):
        class Bad(Instant):
            catalogue = {"models": [{"key": "one", "type": ["picture"]}]}

        with self.assertRaises(imagine.Error) as caught:
            client(providers=[Bad()])
        self.assertIn("models[key one].type", str(caught.exception))

    def test_a_client_that_is_dropped_is_closed(self):
        lines, outcome = [], []
        im = client(providers=[Slow()], log=lambda level, line: lines.append(line), log_level="trace")
        request = im._start("generate", {"model": "slow/one", "prompt": "x"}, lambda *what: outcome.extend(what))
        imagine._release(request)
        del im
        gc.collect()
        self.assertEqual(outcome[1].number, imagine.ECANCELED)
        self.assertEqual((imagine._waiting, imagine._running, imagine._logs), ({}, {}, {}))

    def test_ctrl_c_ends_a_call(self):
        with client(providers=[Slow()]) as im:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            with self.assertRaises(KeyboardInterrupt):
                im.call("generate", model="slow/one", prompt="x")

    def test_whatever_a_provider_raises_is_told(self):
        class Raising(Instant):
            name = "raising"

            async def generate(self, call):
                if call.params["prompt"] == "inside":
                    return im.call("generate", model="raising/one", prompt="x")
                raise asyncio.CancelledError("by itself")

        with client(providers=[Raising()]) as im:
            for prompt, told in (("x", "CancelledError: by itself"), ("inside", "would wait for itself")):
                with self.assertRaises(imagine.Error) as caught:
                    im.call("generate", model="raising/one", prompt=prompt)
                self.assertIn(told, str(caught.exception))

    def test_looking_around(self):
        lines = []
        with client(log=lambda level, line: lines.append(line), log_level="trace") as im:
            self.assertGreater(len(im.models(everything=True)), 50)
            self.assertEqual(len(im.tokens("gitee")), 2)
            im.call("generate", **CAT)
        self.assertTrue(any("http.start" in line for line in lines), lines)
        self.assertFalse(any("t1" in line.split() for line in lines))

    def test_a_timeout_gives_up(self):
        with client(providers=[Slow()]) as im:
            with self.assertRaises(TimeoutError):
                im.call("generate", timeout_ms=50, model="slow/one", prompt="x")


class Asynchronous(unittest.IsolatedAsyncioTestCase):
    async def test_many_at_once(self):
        async with client() as im:
            results = await asyncio.gather(*(im.generate(**CAT) for _ in range(16)))
            self.assertEqual(len({result["seed"] for result in results}), 16)

    async def test_a_task_that_is_cancelled_cancels_the_request(self):
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        class Slow(Instant):
            name = "slow"

            async def generate(self, call):
                try:
                    await call.sleep(60)
                finally:
                    loop.call_soon_threadsafe(ended.set)

        async with client(providers=[Slow()]) as im:
            task = asyncio.create_task(im.generate(model="slow/one", prompt="x"))
            await asyncio.sleep(0.1)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(ended.wait(), 5)

    async def test_closing_fails_what_is_in_flight(self):
        async with client(providers=[Slow()]) as im:
            task = asyncio.create_task(im.generate(model="slow/one", prompt="x"))
            await asyncio.sleep(0.1)
        with self.assertRaises(imagine.Error) as caught:
            await task
        self.assertEqual(caught.exception.number, imagine.ECANCELED)

    async def test_a_text_comes_in_pieces(self):
        async with client() as im:
            pieces = [piece async for piece in im.stream(model="gitee/qwen-3", prompt="a cat")]
            self.assertGreater(len(pieces), 1)
            whole = (await im.text(model="gitee/qwen-3", prompt="a cat"))["text"]
            self.assertEqual("".join(pieces).strip(), whole.strip())
            async for _ in im.stream(model="gitee/qwen-3", prompt="a cat"):
                break  # who leaves ends it
            with self.assertRaises(imagine.Error):
                async for _ in im.stream(model="gitee/qwen-3", prompt=""):
                    pass

    async def test_a_provider_in_python(self):
        picky = Picky()
        async with client({"PICKY_TOKENS": "spent,t1"}, providers=[picky]) as im:
            result = await im.generate(model="picky/z-image-turbo", prompt="a cat")
            self.assertRegex(result["url"], "^http")
            self.assertEqual(picky.tokens, ["spent", "t1"])
            self.assertEqual([token["state"] for token in im.tokens("picky")], ["exhausted", "active"])
            with self.assertRaises(imagine.Error) as caught:
                await im.generate(model="picky/z-image-turbo", prompt="broken")
            self.assertIn("KeyError", str(caught.exception))


    async def test_a_provider_that_streams(self):
        teller = Teller()
        async with client(providers=[teller]) as im:
            async def told(prompt):
                return "".join([piece async for piece in im.stream(model="teller/qwen-3", prompt=prompt)])

            whole = (await im.text(model="teller/qwen-3", prompt="a cat é"))["text"]
            self.assertIn("a cat é", whole)
            self.assertEqual(await told("a cat é"), whole)
            self.assertEqual(await told("break"), "enough")
            self.assertEqual(teller.answers, [None, None])
            self.assertRegex(await told("no stream"), "^200 application/json")
            self.assertIn("json", teller.answers[2].type)
        self.assertEqual((imagine._waiting, imagine._running), ({}, {}))


class Endurance(unittest.IsolatedAsyncioTestCase):
    async def test_ten_thousand_requests_leave_nothing(self):
        def memory():
            gc.collect()
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        async def some(im, count):
            for _ in range(count // 100):
                await asyncio.gather(*(im.generate(model="instant/one", prompt="x") for _ in range(100)))

        gc.set_threshold(50)
        async with client(providers=[Instant()]) as im:
            await some(im, 2000)
            before = memory()
            await some(im, 10000)
            self.assertLess(memory() - before, 4 << 20)
        self.assertEqual((imagine._waiting, imagine._running), ({}, {}))


if __name__ == "__main__":
    unittest.main()
