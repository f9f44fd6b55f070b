"""imagine.py: libimagine for Python, with the standard library alone. Copy it, or put this folder
into PYTHONPATH; libimagine.so is found where the system finds libraries, or at $IMAGINE_LIBRARY.

    import asyncio, imagine

    async def main():
        async with imagine.Client() as client:                  # GITEE_TOKENS=a,b and friends
            result = await client.generate(model="sample/waves", prompt="a quiet sea")
            print(result["url"][:60])
            async for piece in client.stream(model="gitee/qwen-3", prompt="a cat"):
                print(piece, end="", flush=True)

    asyncio.run(main())

Without asyncio: client.call("generate", prompt="a cat") blocks. Parameters and results are those of
the HTTP API. What fails raises imagine.Error. A provider in Python: see Provider.
"""
import asyncio
import ctypes
import ctypes.util
import itertools
import json
import os
import time
import weakref

_lib = ctypes.CDLL(os.environ.get("IMAGINE_LIBRARY") or ctypes.util.find_library("imagine") or "libimagine.so.0")

_DONE = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_PIECE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int32, ctypes.c_char_p, ctypes.c_size_t)
_STEP = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_RESPONSE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_EVENT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)

_handle, _text, _size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
_out = ctypes.POINTER(ctypes.c_void_p)


def _function(name, result, *arguments):
    function = getattr(_lib, name)
    function.restype, function.argtypes = result, arguments
    return function


_open = _function("imagine_open_json", ctypes.c_int, _out, _text, _LOG, _size, _out)
_close = _function("imagine_close", None, _handle, _handle, _handle)
_free = _function("imagine_free", None, _handle)
_settings_open = _function("imagine_settings_open", ctypes.c_int, _out)
_settings_close = _function("imagine_settings_close", None, _handle)
_settings_set = _function("imagine_settings_set", ctypes.c_int, _handle, _text, _text)
_settings_env = _function("imagine_settings_read_env", ctypes.c_int, _handle)
_settings_file = _function("imagine_settings_read_file", ctypes.c_int, _handle, _text)
_settings_message = _function("imagine_settings_message", _text, _handle)
_configure = _function("imagine_configure", ctypes.c_int, _handle, _handle, _out)
_submit = _function("imagine_submit", ctypes.c_int, _handle, _text, _text, _size, _DONE, _handle, _out)
_submit_text = _function("imagine_submit_text", ctypes.c_int, _handle, _text, _size, _PIECE, _DONE, _handle, _out)
_wait = _function("imagine_wait", ctypes.c_int, _handle, ctypes.c_int64)
_cancel = _function("imagine_cancel", None, _handle)
_pause = _function("imagine_pause", None, _handle, ctypes.c_int32)
_release = _function("imagine_request_release", None, _handle)
_result_json = _function("imagine_result_json", _handle, _handle, ctypes.POINTER(_size))
_result_message = _function("imagine_result_message", _text, _handle)
_result_http_status = _function("imagine_result_http_status", ctypes.c_int, _handle)
_result_retry = _function("imagine_result_retry_after_ms", ctypes.c_uint64, _handle)
_result_task = _function("imagine_result_task_id", _text, _handle)
_error_name = _function("imagine_err_name", _text, ctypes.c_int)
_error_text = _function("imagine_strerror", _text, ctypes.c_int)
_set_catalogue = _function("imagine_set_catalogue", ctypes.c_int, _handle, _text, _size, _out)
_models = _function("imagine_models", _handle, _handle, ctypes.c_uint32)
_token_details = _function("imagine_token_details", _handle, _handle, _text)
_register = _function("imagine_register_json", ctypes.c_int, _handle, _text, _STEP, _handle)
_call_action = _function("imagine_call_action", _text, _handle)
_call_model = _function("imagine_call_model", _text, _handle)
_call_token = _function("imagine_call_token", _text, _handle)
_call_user = _function("imagine_call_user", _handle, _handle)
_call_params = _function("imagine_call_params_json", _text, _handle)
_call_url = _function("imagine_call_url", _text, _handle, _text)
_call_http = _function("imagine_call_http_json", None, _handle, _text, _RESPONSE)
_call_events = _function("imagine_call_events_json", None, _handle, _text, _EVENT, _RESPONSE)
_call_wants_pieces = _function("imagine_call_wants_pieces", ctypes.c_int32, _handle)
_call_delta = _function("imagine_call_delta", None, _handle, _text, _size)
_call_sleep = _function("imagine_call_sleep", None, _handle, ctypes.c_uint64, _STEP)
_call_succeed = _function("imagine_call_succeed_json", None, _handle, _text)
_call_fail = _function("imagine_call_fail", None, _handle, ctypes.c_int, _text)
_call_defer = _function("imagine_call_defer", ctypes.c_int, _handle, _STEP, _handle)
_response_status = _function("imagine_response_status", ctypes.c_int, _handle)
_response_body = _function("imagine_response_body", _handle, _handle, ctypes.POINTER(_size))
_response_header = _function("imagine_response_header", _text, _handle, _text)

#: number -> name, as "IMAGINE_ETIMEDOUT"; each is an attribute of this module, too, as in imagine.h.
errors = {}
for _number in range(-1, -200, -1):
    _name = _error_name(_number).decode()
    if _name != "IMAGINE_EUNKNOWN":
        errors[_number] = _name
        globals()[_name.removeprefix("IMAGINE_")] = _number

STREAM_PIECES_MAX = 64  # that wait for a slow reader, before the provider is held back
SIGNALS_MS = 100  # how long a blocking call leaves Ctrl-C unseen: Python looks only between calls of C


class Error(Exception):
    """Why there is no result: .name ("IMAGINE_EEXHAUSTED"), .number, .http_status,
    .retry_after_ms (0: not known), .task_id (of work that goes on without you)."""

    def __init__(self, number, message=None, http_status=0, retry_after_ms=0, task_id=None):
        super().__init__(message or _error_text(number).decode())
        self.number, self.name = number, errors.get(number, "IMAGINE_EUNKNOWN")
        self.http_status, self.retry_after_ms, self.task_id = http_status, retry_after_ms, task_id


def _take(pointer):
    """A text that is ours to free."""
    if not pointer:
        return None
    try:
        return ctypes.string_at(pointer).decode()
    finally:
        _free(pointer)


def _read(pointer, number):
    """JSON that is ours to free; that error where there is none."""
    text = _take(pointer)
    if text is None:
        raise Error(number)
    return json.loads(text)


def _check(number, message=None):
    if number != 0:
        raise Error(number, message)


def _outcome(status, result):
    """(result, None) or (None, Error). The library's texts die with the callback: all is copied."""
    if status != 0:
        message, task = _result_message(result), _result_task(result)
        return None, Error(status, message and message.decode(), _result_http_status(result), _result_retry(result), task and task.decode())
    size = _size()
    pointer = _result_json(result, ctypes.byref(size))
    if not pointer:
        return None, Error(-2)
    return json.loads(ctypes.string_at(pointer, size.value)), None


# ---- requests: what the library calls back with is a number, never an object -----------------------

_numbers = itertools.count(1)
_waiting = {}  # number -> (on_done(result, error), on_piece(text) or None)
_logs = {}  # number -> a client's log(level, line)


@_DONE
def _on_done(status, result, number):
    on_done, _ = _waiting.pop(number)
    on_done(*_outcome(status, result))


@_PIECE
def _on_piece(text, size, number):
    _waiting[number][1](ctypes.string_at(text, size).decode(errors="replace"))


@_LOG
def _on_log(level, line, number):
    log = _logs.get(number)
    if log:
        log(level, line.decode(errors="replace"))


def _shut(im, number, process):
    if os.getpid() == process:  # a child of fork() leaves it alone
        _close(im, None, None)
    _logs.pop(number, None)


class Client:
    """A client of the library, with its private thread. One that is dropped is closed, and so are all
    when the interpreter ends.

    settings: names and texts of the README's table ({"GITEE_TOKENS": "a,b"}), before those of the
    environment and of .env files, which are read unless `env` is False. log: a function of (level,
    line). providers: Provider objects. options: those of imagine_open_json(), as log_level="debug".
    """

    def __init__(self, settings=None, env=True, log=None, providers=(), **options):
        names = {"".join([first, *map(str.capitalize, rest)]): value for key, value in options.items() for first, *rest in [key.split("_")]}
        handle, message, number = ctypes.c_void_p(), ctypes.c_void_p(), next(_numbers)
        if log:
            _logs[number] = log
        err = _open(ctypes.byref(handle), json.dumps(names).encode(), _on_log if log else _LOG(), number, ctypes.byref(message))
        if err != 0:
            _logs.pop(number, None)
        _check(err, _take(message.value))
        self._im, self._providers, self._process = handle.value, list(providers), os.getpid()
        self._shut = weakref.finalize(self, _shut, self._im, number, self._process)
        try:
            for provider in self._providers:
                self._register(provider)
            self._configure(settings or {}, env)
        except BaseException:
            self.close()
            raise

    def _register(self, provider):
        _check(_register(self._im, json.dumps(provider._description()).encode(), _on_action, provider._number))
        if provider.catalogue:  # by itself: so that what is wrong with it is told
            text, message = json.dumps({"providers": {provider.name: provider.catalogue}}).encode(), ctypes.c_void_p()
            number = _set_catalogue(self._im, text, len(text), ctypes.byref(message))
            _check(number, _take(message.value))

    def _configure(self, settings, env):
        handle, message = ctypes.c_void_p(), ctypes.c_void_p()
        _check(_settings_open(ctypes.byref(handle)))
        try:
            for name, value in settings.items():
                if _settings_set(handle, name.encode(), str(value).encode()) != 0:
                    raise Error(-1, _settings_message(handle).decode())
            if env and (_settings_env(handle) or _settings_file(handle, None)):
                raise Error(-1, _settings_message(handle).decode())
            number = _configure(self._im, handle, ctypes.byref(message))
            _check(number, _take(message.value))
        finally:
            _settings_close(handle)

    def close(self):
        """Requests in flight fail with IMAGINE_ECANCELED first; returns when all is gone."""
        self._im = None
        self._shut()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def _handle(self):
        if not self._im or os.getpid() != self._process:
            raise Error(ECLOSED)
        return self._im

    def _start(self, action, params, on_done, on_piece=None):
        im = self._handle()
        number, request, text = next(_numbers), ctypes.c_void_p(), json.dumps(params).encode()
        _waiting[number] = on_done, on_piece
        if on_piece:
            err = _submit_text(im, text, len(text), _on_piece, _on_done, number, ctypes.byref(request))
        else:
            err = _submit(im, action.encode(), text, len(text), _on_done, number, ctypes.byref(request))
        if err != 0:
            del _waiting[number]
            raise Error(err)
        return request.value

    # ---- with asyncio ----

    async def request(self, action, **params):
        """Any action by name: the methods below, and what is new in the library."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def settle(result, error):
            if not future.done():
                future.set_result(result) if error is None else future.set_exception(error)

        request = self._start(action, params, lambda *outcome: _tell(loop, settle, *outcome))
        try:
            return await future
        except asyncio.CancelledError:
            _cancel(request)
            raise
        finally:
            _release(request)

    def generate(self, **params):
        return self.request("generate", **params)

    def edit(self, **params):
        return self.request("edit", **params)

    def text(self, **params):
        return self.request("text", **params)

    def video(self, **params):
        return self.request("video", **params)

    def upscale(self, **params):
        return self.request("upscaler", **params)

    def task_status(self, task_id):
        return self.request("task-status", taskId=task_id)

    def task_cancel(self, task_id):
        return self.request("task-cancel", taskId=task_id)

    async def stream(self, **params):
        """The pieces of a text as they come. A reader that is slow holds the provider back; one that
        leaves ends the request."""
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue()
        request = self._start("text", params, lambda *outcome: _tell(loop, pieces.put_nowait, outcome), lambda piece: _tell(loop, pieces.put_nowait, piece))
        is_paused = False
        try:
            while True:
                if is_paused != (pieces.qsize() > STREAM_PIECES_MAX):
                    is_paused = not is_paused
                    _pause(request, is_paused)
                piece = await pieces.get()
                if isinstance(piece, str):
                    yield piece
                    continue
                if piece[1] is not None:
                    raise piece[1]
                return
        finally:
            _cancel(request)
            _release(request)

    # ---- without ----

    def call(self, action, timeout_ms=-1, **params):
        """The result of any action; blocks. TimeoutError: the request was given up, as by Ctrl-C."""
        outcome = []
        ends_at = time.monotonic() + timeout_ms / 1000 if timeout_ms >= 0 else float("inf")
        request = self._start(action, params, lambda *what: outcome.extend(what))
        try:
            while (err := _wait(request, int(min(SIGNALS_MS, max(0, ends_at - time.monotonic()) * 1000)))) == ETIMEDOUT:
                if time.monotonic() >= ends_at:
                    raise TimeoutError(f"{action} took longer than {timeout_ms} ms")
            _check(err)
        except BaseException:
            _cancel(request)
            raise
        finally:
            _release(request)
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]

    def models(self, everything=False):
        """Those whose provider can serve now, or all."""
        return _read(_models(self._handle(), 1 if everything else 0), ENOMEM)

    def tokens(self, provider):
        return _read(_token_details(self._handle(), provider.encode()), EPROVIDER)


def _tell(loop, function, *arguments):
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        pass  # that loop is closed: nobody waits


# ---- providers -------------------------------------------------------------------------------------


class Refused(Exception):
    """Raise it in a provider: Refused(imagine.EQUOTA, "…") and the next token tries."""

    def __init__(self, number, message):
        super().__init__(message)
        self.number = number


class Provider:
    """A provider in Python: a subclass with `name`, perhaps `catalogue` and `token_optional`, and a
    coroutine for each action that it has. It runs on the library's thread, so it awaits nothing but
    the call's own steps, and returns what came of it:

        class Mine(imagine.Provider):
            name = "mine"
            catalogue = {"api_base": "https://api.example.com", "models": [{"key": "one", "type": ["text2image"]}]}

            async def generate(self, call):
                answer = await call.http(call.url("/draw"), json={"prompt": call.params["prompt"]})
                return {"url": answer.json()["url"]}

            async def text(self, call):
                async for event in call.events(call.url("/tell"), json={"prompt": call.params["prompt"]}):
                    call.delta(event.json()["piece"])
                return {}
    """

    name, catalogue, token_optional = None, None, False

    def __init__(self):
        self._number = next(_numbers)
        _providers[self._number] = self

    def _description(self):
        actions = [action for action in ("generate", "edit", "text", "video", "upscaler") if hasattr(self, action)]
        return {"name": self.name, "actions": actions, "tokenOptional": self.token_optional}


class Answer:
    def __init__(self, response):
        size = _size()
        self.status = _response_status(response)
        self.body = ctypes.string_at(_response_body(response, ctypes.byref(size)), size.value)
        self._type = _response_header(response, b"content-type")

    @property
    def type(self):
        return self._type and self._type.decode(errors="replace")

    def json(self):
        return json.loads(self.body)


class Event:
    """Of a stream: .name ("" where it has none) and .data, a str."""

    def __init__(self, name, response):
        size = _size()
        data = ctypes.string_at(_response_body(response, ctypes.byref(size)), size.value)
        self.name, self.data = (name or b"").decode(errors="replace"), data.decode(errors="replace")

    def json(self):
        return json.loads(self.data)


class _Step:
    def __init__(self, begin):
        self.begin = begin

    def __await__(self):
        return (yield self)


class Call:
    """One attempt with one token."""

    def __init__(self, pointer):
        self._pointer = pointer
        self.action, self.model = _call_action(pointer).decode(), _call_model(pointer).decode()
        self.params = json.loads(_call_params(pointer))

    @property
    def token(self):
        token = _call_token(self._pointer)
        return token and token.decode()

    def url(self, path):
        return _call_url(self._pointer, path.encode()).decode()

    def http(self, url, **request):
        """Step: asks, and gives an Answer. More: see imagine_call_http_json() in imagine/ffi.h."""
        text = json.dumps({"url": url, **request}).encode()
        return _Step(lambda: _call_http(self._pointer, text, _on_response))

    def events(self, url, **request):
        """Asks for a stream of server-sent events: async for event in call.events(…). At its end its
        .answer is an Answer. Who breaks off leaves it with the next step."""
        return _Events(self._pointer, json.dumps({"url": url, **request}).encode())

    @property
    def wants_pieces(self):
        """Somebody reads the text as it comes: ask the provider to stream, and pass it on."""
        return _call_wants_pieces(self._pointer) != 0

    def delta(self, text):
        """A piece of the text. Then return {} in the end."""
        piece = text.encode()
        _call_delta(self._pointer, piece, len(piece))

    def sleep(self, seconds):
        return _Step(lambda: _call_sleep(self._pointer, int(seconds * 1000), _on_slept))


class _Events:
    answer = None

    def __init__(self, pointer, text):
        self._next = _Step(lambda: _call_events(pointer, text, _on_event, _on_response))

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.answer is None:
            step, self._next = self._next, _Step(lambda: None)  # the stream goes on by itself
            value = await step
            if isinstance(value, Event):
                return value
            self.answer = value
        raise StopAsyncIteration


_providers, _running = {}, {}  # number -> Provider; address of a call -> its coroutine


def _go_on(pointer, value=None):
    try:
        _running[pointer].send(value).begin()
    except StopIteration as end:
        _call_succeed(pointer, json.dumps(end.value).encode())
    except Refused as error:
        _call_fail(pointer, error.number, str(error).encode())
    except BaseException as error:  # nothing may fly through the library
        _call_fail(pointer, EPROTOCOL, f"the provider failed: {type(error).__name__}: {error}".encode())


@_STEP
def _on_gone(pointer):
    coroutine = _running.pop(pointer, None)
    if coroutine:
        coroutine.close()


@_STEP
def _on_action(pointer):
    try:
        if _call_defer(pointer, _on_gone, pointer) != 0:
            raise MemoryError
        _running[pointer] = getattr(_providers[_call_user(pointer)], _call_action(pointer).decode())(Call(pointer))
    except BaseException as error:
        _call_fail(pointer, EPROTOCOL, f"the provider failed: {type(error).__name__}: {error}".encode())
        return
    _go_on(pointer)


@_STEP
def _on_slept(pointer):
    _go_on(pointer)


@_RESPONSE
def _on_response(pointer, response):
    _go_on(pointer, Answer(response))


@_EVENT
def _on_event(pointer, name, response):
    _go_on(pointer, Event(name, response))
