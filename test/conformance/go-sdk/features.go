package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

const rest = time.Second

// numbers gathers which messages came; it may be used from several goroutines.
type numbers struct {
	lock sync.Mutex
	list []int
}

func (n *numbers) add(number int) {
	n.lock.Lock()
	defer n.lock.Unlock()
	n.list = append(n.list, number)
}

func (n *numbers) take(view *rmq.MessageView) {
	n.add(numberOf(view))
}

func (n *numbers) all() []int {
	n.lock.Lock()
	defer n.lock.Unlock()
	return append([]int{}, n.list...)
}

func (n *numbers) different() int {
	list := n.all()
	slices.Sort(list)
	return len(slices.Compact(list))
}

func selected(count int, matches func(int) bool) []int {
	list := []int{}
	for i := range count {
		if matches(i) {
			list = append(list, i)
		}
	}
	return list
}

func waitFor(done func() bool) {
	for endsAt := time.Now().Add(longest()); !done() && time.Now().Before(endsAt); {
		time.Sleep(20 * time.Millisecond)
	}
}

func startPush(group string, consume func(*rmq.MessageView) bool) {
	must(persist(func() error {
		consumer, err := rmq.NewPushConsumer(config("", group),
			rmq.WithPushSubscriptionExpressions(subscriptions{*topic: rmq.SUB_ALL}),
			rmq.WithPushMessageListener(&rmq.FuncMessageListener{Consume: func(view *rmq.MessageView) rmq.ConsumerResult {
				if consume(view) {
					return rmq.SUCCESS
				}
				return rmq.FAILURE
			}}))
		if err != nil {
			return err
		}
		return consumer.Start()
	}, func() {}))
}

// push: most messages succeed, some fail once, some fail always and become dead letters, which a SimpleConsumer reads.
func push() facts {
	const count, maxAttempts = 30, 3
	kindOf := func(i int) string {
		if i%10 == 7 {
			return "always"
		}
		if i%5 == 3 {
			return "once"
		}
		return "never"
	}
	wanted := map[string]int{"never": 1, "once": 2, "always": maxAttempts}
	attempts := make([]numbers, count)
	producer := startProducer(nil)
	sendOne := func(i int) {
		send(producer, func() *rmq.Message { return message(i, fmt.Sprintf("push %d", i)) })
	}
	startPush(*group, func(view *rmq.MessageView) bool {
		i := numberOf(view)
		attempts[i].add(int(view.GetDeliveryAttempt()))
		return kindOf(i) != "always" && len(attempts[i].all()) >= wanted[kindOf(i)]
	})
	came := func(from, end, times int) bool {
		for i := from; i < end; i++ {
			if len(attempts[i].all()) < min(times, wanted[kindOf(i)]) {
				return false
			}
		}
		return true
	}
	together(0, count/2, sendOne).Wait()
	waitFor(func() bool { return came(0, count/2, 1) })
	middle()
	together(count/2, count, sendOne).Wait()
	waitFor(func() bool { return came(0, count, maxAttempts) })

	result := facts{"maxAttempts": maxAttempts}
	for kind := range wanted {
		lists := [][]int{}
		for _, i := range selected(count, func(i int) bool { return kindOf(i) == kind }) {
			lists = append(lists, attempts[i].all())
		}
		result[kind] = lists
	}
	expected := selected(count, func(i int) bool { return kindOf(i) == "always" })
	dead := numbers{}
	letters := startSimpleIn("", *group+"-dead", subscriptions{"%DLQ%" + *group: rmq.SUB_ALL})
	receiveUntil(letters, func() bool { return dead.different() >= len(expected) }, func(view *rmq.MessageView) {
		if string(view.GetBody()) != fmt.Sprintf("push %d", numberOf(view)) {
			complain("body of dead letter %d", numberOf(view))
		}
		dead.take(view)
	}, longest())
	result["expectedDead"], result["dead"] = expected, dead.all()
	return result
}

func sendNumbered(count int, change func(int, *rmq.Message)) {
	producer := startProducer(nil)
	sendOne := func(i int) {
		send(producer, func() *rmq.Message {
			made := message(i, "m")
			change(i, made)
			return made
		})
	}
	together(0, count/2, sendOne).Wait()
	middle()
	together(count/2, count, sendOne).Wait()
}

type filterCase struct {
	name       string
	expression string
	matches    func(int) bool
}

// filtered lets one consumer group for each case receive what its expression selects.
func filtered(count int, cases []filterCase, kind rmq.FilterExpressionType,
	take func(filterCase, rmq.SimpleConsumer, *numbers) func(*rmq.MessageView) bool) facts {
	expected, got := map[string][]int{}, map[string][]int{}
	together(0, len(cases), func(at int) {
		one, list := cases[at], numbers{}
		wanted := selected(count, one.matches)
		filter := rmq.NewFilterExpressionWithType(one.expression, kind)
		consumer := startSimpleIn("", *group+"-"+one.name, subscriptions{*topic: filter})
		taking := take(one, consumer, &list)
		receiveSome(consumer, func() bool { return list.different() >= len(wanted) }, taking, longest())
		receiveSome(consumer, func() bool { return false }, taking, rest)
		lock.Lock()
		defer lock.Unlock()
		expected[one.name], got[one.name] = wanted, list.all()
	}).Wait()
	return facts{"expected": expected, "got": got}
}

func tags() facts {
	const count = 40
	names := []string{"tag-a", "tag-b", "tag-c"}
	sendNumbered(count, func(i int, made *rmq.Message) {
		if i%4 < len(names) {
			made.SetTag(names[i%4])
		}
	})
	cases := []filterCase{
		{"alternative", "tag-a || tag-b", func(i int) bool { return i%4 < 2 }},
		{"one", "tag-c", func(i int) bool { return i%4 == 2 }},
		{"all", "*", func(int) bool { return true }},
	}
	return filtered(count, cases, rmq.TAG, func(_ filterCase, _ rmq.SimpleConsumer, list *numbers) func(*rmq.MessageView) bool {
		return func(view *rmq.MessageView) bool {
			list.take(view)
			return true
		}
	})
}

// sql gives the first message of each group back: it has to come again.
func sql() facts {
	const count = 40
	regions := []string{"eu", "us", "ap", ""}
	sendNumbered(count, func(i int, made *rmq.Message) {
		made.SetTag([]string{"tag-a", "tag-b", "tag-b"}[i%3])
		made.AddProperty("price", strconv.Itoa(i%20))
		if i%4 < 3 {
			made.AddProperty("region", regions[i%4])
		}
	})
	cases := []filterCase{
		{"both", "price > 10 AND region = 'eu'", func(i int) bool { return i%20 > 10 && i%4 == 0 }},
		{"either", "price BETWEEN 5 AND 8 OR region IN ('us', 'ap')",
			func(i int) bool { return (i%20 >= 5 && i%20 <= 8) || i%4 == 1 || i%4 == 2 }},
		{"missing", "region IS NULL", func(i int) bool { return i%4 == 3 }},
		{"tag", "TAGS IS NOT NULL AND TAGS = 'tag-a'", func(i int) bool { return i%3 == 0 }},
		{"negated", "NOT (price < 15) AND region <> 'us'", func(i int) bool { return i%20 >= 15 && i%4 != 1 && i%4 != 3 }},
	}
	retried := numbers{}
	result := filtered(count, cases, rmq.SQL92, func(one filterCase, consumer rmq.SimpleConsumer, list *numbers) func(*rmq.MessageView) bool {
		givenBack := -1
		return func(view *rmq.MessageView) bool {
			i := numberOf(view)
			if givenBack < 0 {
				givenBack = i
				must(persist(func() error { return consumer.ChangeInvisibleDuration(view, time.Second) }, func() {}))
				return false
			}
			if i == givenBack && view.GetDeliveryAttempt() > 1 {
				retried.add(i)
			}
			list.take(view)
			return true
		}
	})
	// The SDK's Start would never return if the broker refused its Settings: the receive has to tell.
	wrong := rmq.NewFilterExpressionWithType("price >> AND", rmq.SQL92)
	bad := startSimpleIn("", *group+"-bad", subscriptions{*topic: wrong})
	_, err := bad.Receive(context.Background(), 1, 10*time.Second)
	result["refused"] = "accepted"
	if code := codeOf(err); code >= 40000 && code != 40401 {
		result["refused"] = "refused"
	}
	result["retried"], result["groups"] = len(retried.all()), len(cases)
	return result
}

// topics: one producer and one SimpleConsumer over several topics. --topic is their common prefix.
func topics() facts {
	const count = 20
	names := []string{*topic + "A", *topic + "B", *topic + "C"}
	producer := startProducerIn("", nil, names...)
	total := count * len(names)
	sendOne := func(i int) {
		send(producer, func() *rmq.Message {
			name := names[i%len(names)]
			made := message(i, fmt.Sprintf("%s/%d", name, i))
			made.Topic = name
			return made
		})
	}
	together(0, total/2, sendOne).Wait()
	middle()
	together(total/2, total, sendOne).Wait()
	filters := subscriptions{}
	for _, name := range names {
		filters[name] = rmq.SUB_ALL
	}
	came := numbers{}
	strays := []string{}
	consumer := startSimpleIn("", *group, filters)
	receiveUntil(consumer, func() bool { return came.different() == total }, func(view *rmq.MessageView) {
		if !strings.HasPrefix(string(view.GetBody()), view.GetTopic()+"/") {
			strays = append(strays, string(view.GetBody()))
		}
		came.take(view)
	}, longest())
	return facts{"expected": total, "simple": came.different(), "strays": strays}
}

// namespaces: the same topic and the same consumer group in two namespaces.
func namespaces() facts {
	const count = 20
	names := []string{"first", "second"}
	producers := make([]rmq.Producer, len(names))
	for at, name := range names {
		producers[at] = startProducerIn(name, nil, *topic)
	}
	sendOne := func(i int) {
		for at, name := range names {
			send(producers[at], func() *rmq.Message { return message(i, fmt.Sprintf("%s/%d", name, i)) })
		}
	}
	together(0, count/2, sendOne).Wait()
	middle()
	together(count/2, count, sendOne).Wait()
	result := map[string]facts{}
	together(0, len(names), func(at int) {
		came, bodies := numbers{}, []string{}
		consumer := startSimpleIn(names[at], *group, subscriptions{*topic: rmq.SUB_ALL})
		take := func(view *rmq.MessageView) {
			if view.GetTopic() != *topic {
				complain("topic is %s", view.GetTopic())
			}
			came.take(view)
			bodies = append(bodies, string(view.GetBody()))
		}
		receiveUntil(consumer, func() bool { return came.different() >= count }, take, longest())
		receiveUntil(consumer, func() bool { return false }, take, rest)
		lock.Lock()
		defer lock.Unlock()
		result[names[at]] = facts{"simple": bodies}
	}).Wait()
	return facts{"count": count, "namespaces": names, "facts": result}
}

// refusals: messages that must be refused, by the SDK or by the broker; then the same clients go on.
func refusals() facts {
	producer, consumer := startProducer(nil), startSimple()
	good := func(n int) *rmq.Message {
		made := message(n, fmt.Sprintf("good %d", n))
		made.SetDelayTimestamp(time.Now().Add(time.Second))
		return made
	}
	bad := map[string]func(*rmq.Message){
		"empty body":     func(made *rmq.Message) { made.Body = []byte{} },
		"body too large": func(made *rmq.Message) { made.Body = make([]byte, 5<<20) },
		"unknown topic":  func(made *rmq.Message) { made.Topic = *topic + "-unknown" },
		"delay too long": func(made *rmq.Message) { made.SetDelayTimestamp(time.Now().AddDate(10, 0, 0)) },
	}
	answers := map[string]string{}
	try := func(what string, made *rmq.Message) {
		answers[what] = "accepted"
		if _, err := producer.Send(context.Background(), made); err != nil {
			answers[what] = err.Error()
		}
	}
	send(producer, func() *rmq.Message { return good(0) })
	for what, change := range bad {
		made := good(0)
		change(made)
		try(what, made)
	}
	try("wrong message type", message(0, "good 0"))
	middle()
	send(producer, func() *rmq.Message { return good(1) })
	came := numbers{}
	receiveUntil(consumer, func() bool { return came.different() == 2 }, came.take, longest())
	receiveUntil(consumer, func() bool { return false }, came.take, rest)
	return facts{"answers": answers, "sent": 2, "received": len(came.all())}
}
