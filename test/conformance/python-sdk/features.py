"""Recall, filters, several topics and namespaces, retries, refusals."""

import time

from rocketmq import ConsumeResult, FilterExpression, MessageListener, PushConsumer
from rocketmq.grpc_protocol import FilterType

from sdk import (configuration, message, middle, number_of, options, persist, pool, receive_until, start, start_producer,
                 start_simple)

REST_SECONDS = 1


def send_all(producer, made):
    list(pool.map(lambda make: persist(lambda: producer.send(make()), count=True), made))


def send_halves(producer, made):
    half = len(made) // 2
    send_all(producer, made[:half])
    middle()
    send_all(producer, made[half:])


def answer(operation):
    try:
        operation()
        return "accepted"
    except Exception as error:
        return str(error) or repr(error)


def recall():
    count = 10
    wrong = []
    producer = start_producer()

    def send(i):
        made = message(i, f"delayed {i}")
        # In whole seconds. Time for all programs beside this one to come half way, as some recalls wait for that.
        made.delivery_timestamp = int(time.time()) + (20 if options.halt else 12)
        return producer.send(made)

    receipts = list(pool.map(send, range(count)))

    def take_back(i):
        if persist(lambda: producer.recall_message(options.topic, receipts[i].recall_handle)) != receipts[i].message_id:
            wrong.append(f"id of the recalled {i}")

    recalled = [i for i in range(count) if i % 2 == 1]
    for i in recalled[:2]:
        take_back(i)
    middle()
    for i in recalled[2:]:
        take_back(i)

    def refusal(handle):
        given = answer(lambda: producer.recall_message(options.topic, handle))
        return given if given == "accepted" else "refused"

    garbage = refusal("bm90IGEgaGFuZGxl")
    received = []
    consumer = start_simple()
    receive_until(consumer, lambda: len(set(received)) >= count - len(recalled), lambda view: received.append(number_of(view)))
    receive_until(consumer, lambda: False, lambda view: received.append(number_of(view)), 2.5)
    return {"count": count, "recalled": recalled, "received": received, "garbage": garbage,
            "delivered": refusal(receipts[0].recall_handle), "wrong": wrong}


def push():
    count, max_attempts = 30, 3
    wrong = []

    def kind_of(i):
        return "always" if i % 10 == 7 else "once" if i % 5 == 3 else "never"

    wanted = {"never": 1, "once": 2, "always": max_attempts}
    attempts = [[] for _ in range(count)]

    class Listener(MessageListener):
        def consume(self, view):
            i = number_of(view)
            attempts[i].append(view.delivery_attempt)
            done = kind_of(i) != "always" and len(attempts[i]) >= wanted[kind_of(i)]
            return ConsumeResult.SUCCESS if done else ConsumeResult.FAILURE

    producer = start_producer()
    subscription = {options.topic: FilterExpression()}
    consumer = start(lambda: PushConsumer(configuration(), options.group, Listener(), subscription))

    def wait_for(numbers, most):
        ends_at = time.time() + options.patience / 1000
        while any(len(attempts[i]) < min(most, wanted[kind_of(i)]) for i in numbers) and time.time() < ends_at:
            time.sleep(0.02)

    half = count // 2
    made = [lambda i=i: message(i, f"push {i}") for i in range(count)]
    send_all(producer, made[:half])
    wait_for(range(half), 1)
    middle()
    send_all(producer, made[half:])
    wait_for(range(count), max_attempts)
    expected = [i for i in range(count) if kind_of(i) == "always"]
    dead = []

    def take(view):
        dead.append(number_of(view))
        if view.body.decode("utf-8") != f"push {number_of(view)}":
            wrong.append(f"body of dead letter {number_of(view)}")

    letters = start_simple("-dead", {f"%DLQ%{options.group}": FilterExpression()})
    receive_until(letters, lambda: len(set(dead)) >= len(expected), take)
    del consumer
    kinds = {kind: [attempts[i] for i in range(count) if kind_of(i) == kind] for kind in wanted}
    return {"maxAttempts": max_attempts, **kinds, "expectedDead": expected, "dead": dead, "wrong": wrong[:5]}


def filtered(count, cases, filter_type, take_of):
    """One consumer group for each case receives what its expression selects."""
    expected = {name: [i for i in range(count) if matches(i)] for name, (_, matches) in cases.items()}
    got = {name: [] for name in cases}

    def drain(name):
        filter_expression = FilterExpression(cases[name][0], filter_type)
        consumer = start_simple(f"-{name}", {options.topic: filter_expression})
        take = take_of(consumer, got[name])
        receive_until(consumer, lambda: len(set(got[name])) >= len(expected[name]), take)
        receive_until(consumer, lambda: False, take, REST_SECONDS)

    list(pool.map(drain, cases))
    return {"expected": expected, "got": got}


def tags():
    count = 40

    def make(i):
        made = message(i, "m")
        if i % 4 < 3:
            made.tag = ("tag-a", "tag-b", "tag-c")[i % 4]
        return made

    cases = {
        "alternative": ("tag-a || tag-b", lambda i: i % 4 < 2),
        "one": ("tag-c", lambda i: i % 4 == 2),
        "all": ("*", lambda i: True),
    }
    send_halves(start_producer(), [lambda i=i: make(i) for i in range(count)])
    return filtered(count, cases, FilterType.TAG, lambda _, numbers: lambda view: numbers.append(number_of(view)))


def sql():
    """The first message of each group is given back: it has to come again."""
    count = 40
    retried = []
    regions = ("eu", "us", "ap", None)

    def make(i):
        made = message(i, "m")
        made.tag = "tag-a" if i % 3 == 0 else "tag-b"
        made.add_property("price", str(i % 20))
        if regions[i % 4]:
            made.add_property("region", regions[i % 4])
        return made

    cases = {
        "both": ("price > 10 AND region = 'eu'", lambda i: i % 20 > 10 and i % 4 == 0),
        "either": ("price BETWEEN 5 AND 8 OR region IN ('us', 'ap')", lambda i: 5 <= i % 20 <= 8 or i % 4 in (1, 2)),
        "missing": ("region IS NULL", lambda i: i % 4 == 3),
        "tag": ("TAGS IS NOT NULL AND TAGS = 'tag-a'", lambda i: i % 3 == 0),
        "negated": ("NOT (price < 15) AND region <> 'us'", lambda i: i % 20 >= 15 and i % 4 in (0, 2)),
    }

    def take_of(consumer, numbers):
        given_back = []

        def take(view):
            if not given_back:
                given_back.append(number_of(view))
                persist(lambda: consumer.change_invisible_duration(view, 1))
                return False
            if number_of(view) in given_back and view.delivery_attempt > 1:
                retried.append(number_of(view))
            numbers.append(number_of(view))
            return True

        return take

    send_halves(start_producer(), [lambda i=i: make(i) for i in range(count)])
    facts = filtered(count, cases, FilterType.SQL, take_of)
    bad = start_simple("-bad", {options.topic: FilterExpression("price >> AND", FilterType.SQL)})
    refused = answer(lambda: bad.receive(1, 10))
    return {**facts, "retried": len(retried), "groups": len(cases),
            "refused": refused if refused == "accepted" else "refused"}


def topics():
    """One producer and one SimpleConsumer over several topics. --topic is their common prefix."""
    names = tuple(f"{options.topic}{letter}" for letter in "ABC")
    total = 20 * len(names)

    def make(i):
        made = message(i, f"{names[i % 3]}/{i}")
        made.topic = names[i % 3]
        return made

    send_halves(start_producer(topics=names), [lambda i=i: make(i) for i in range(total)])
    came, strays = set(), []

    def take(view):
        came.add(number_of(view))
        if not view.body.decode("utf-8").startswith(f"{view.topic}/"):
            strays.append(view.body.decode("utf-8"))

    consumer = start_simple(subscription={name: FilterExpression() for name in names})
    receive_until(consumer, lambda: len(came) == total, take)
    return {"expected": total, "simple": len(came), "strays": strays[:5]}


def namespaces():
    """The same topic and the same consumer group in two namespaces."""
    count = 20
    names = ("first", "second")
    wrong = []
    facts = {name: {"simple": []} for name in names}
    producers = {name: start_producer(namespace=name) for name in names}
    half = count // 2

    def send(start_at, end):
        for name in names:
            send_all(producers[name], [lambda i=i: message(i, f"{name}/{i}") for i in range(start_at, end)])

    send(0, half)
    middle()
    send(half, count)

    def drain(name):
        bodies = facts[name]["simple"]

        def take(view):
            bodies.append(view.body.decode("utf-8"))
            if view.topic != options.topic:
                wrong.append(f"topic is {view.topic}")

        consumer = start_simple(namespace=name)
        receive_until(consumer, lambda: len(set(bodies)) >= count, take)
        receive_until(consumer, lambda: False, take, REST_SECONDS)

    list(pool.map(drain, names))
    return {"count": count, "namespaces": names, "facts": facts, "wrong": wrong[:5]}


def refusals():
    """Messages that must be refused, by the SDK or by the broker; then the same clients go on."""
    producer, consumer = start_producer(), start_simple()

    def good(n, **changes):
        made = message(n, f"good {n}")
        made.delivery_timestamp = int(time.time()) + 1
        for name, value in changes.items():
            setattr(made, name, value)
        return made

    def plain():
        return message(0, "good 0")

    bad = {
        "empty body": lambda: good(0, body=b""),
        "body too large": lambda: good(0, body=bytes(5 << 20)),
        "unknown topic": lambda: good(0, topic=f"{options.topic}-unknown"),
        "wrong message type": plain,
        "delay too long": lambda: good(0, delivery_timestamp=int(time.time()) + 10 * 365 * 86_400),
    }
    send_all(producer, [lambda: good(0)])
    answers = {what: answer(lambda: producer.send(make())) for what, make in bad.items()}
    middle()
    send_all(producer, [lambda: good(1)])
    received = []
    receive_until(consumer, lambda: len(received) == 2, lambda view: received.append(number_of(view)))
    receive_until(consumer, lambda: False, lambda view: received.append(number_of(view)), REST_SECONDS)
    return {"answers": answers, "sent": 2, "received": len(received)}


PROGRAMS = {"recall": recall, "push": push, "tags": tags, "sql": sql, "topics": topics, "namespaces": namespaces,
            "refusals": refusals}
