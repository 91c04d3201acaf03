#!/usr/bin/env python3
"""A successor that speaks the language of a hand-over as far as it is told, and then ends, hangs or babbles; or
waits for the file `go` beside it and ends.

The file `script` beside it says so, as in `ready hang`.
"""
import array, json, os, signal, socket, struct, sys, time

folder = os.path.dirname(os.path.abspath(sys.argv[0]))
last, then = open(os.path.join(folder, "script")).read().split()
line = socket.socket(fileno=3)

def say(**message):
    text = json.dumps(message).encode()
    line.sendall(struct.pack(">II", len(text), 0) + text)

def exactly(count):
    data = b""
    while len(data) < count:
        more = line.recv(count - len(data))
        if not more:
            sys.exit(9)
        data += more
    return data

def hear_bytes():
    length, count = struct.unpack(">II", exactly(8))
    while count > 0:
        _, rights, _, _ = line.recvmsg(1, socket.CMSG_SPACE(128 * 4))
        for _, _, data in rights:
            got = array.array("i")
            got.frombytes(data)
            count -= len(got)
    return exactly(length)

def hear():
    return json.loads(hear_bytes())

def end_if(step):
    if step != last:
        return
    open(os.path.join(folder, "pid"), "w").write(str(os.getpid()))
    if then == "hang":
        time.sleep(600)
    if then == "wait":
        deadline = time.monotonic() + 60
        while not os.path.exists(os.path.join(folder, "go")) and time.monotonic() < deadline:
            time.sleep(0.01)
    if then == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if then == "babble":
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        time.sleep(600)
    sys.exit(7)

end_if("start")
say(say="hello", protocol=2, version="9", pid=os.getpid())
end_if("hello")
assert hear()["say"] == "sockets"
end_if("sockets")
say(say="ready")
assert hear()["say"] == "serve"
end_if("ready")
say(say="serving")
end_if("serving")
history = hear()
assert history["say"] == "history"
if history["image"]:
    hear_bytes()
end_if("history")
say(say="done")
end_if("done")
assert hear()["say"] == "yours"
end_if("yours")
say(say="taken")
end_if("taken")
