// Programs for the official Go SDK: conform SCENARIO --endpoints E --topic T --group G.
//
// It prints its facts as one JSON line and judges nothing: the tests do. With --halt it prints {"mark":"middle"} half way
// and goes on when a line arrives on its standard input: that is when the test has killed the leader.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

const invalidReceiptHandle = 40013

var (
	options   = flag.NewFlagSet("conform", flag.ExitOnError)
	endpoints = options.String("endpoints", "127.0.0.1:8081", "host:port")
	topic     = options.String("topic", "Conformance", "")
	group     = options.String("group", "conformance", "")
	halt      = options.Bool("halt", false, "wait half way")
	awaitMs   = options.Int("await", 1000, "longest wait of a receive")
	patience  = options.Int("patience", 60000, "longest wait for what must come, in ms")
	lock      sync.Mutex
	resent    = 0
	wrong     = []string{}
)

type facts map[string]any

func complain(format string, args ...any) {
	lock.Lock()
	defer lock.Unlock()
	wrong = append(wrong, fmt.Sprintf(format, args...))
}

func codeOf(err error) int32 {
	if status, ok := rmq.AsErrRpcStatus(err); ok {
		return status.Code
	}
	return 0
}

// persist does the operation until it succeeds, as an application would.
func persist(operation func() error, failed func()) error {
	endsAt := time.Now().Add(time.Duration(*patience) * time.Millisecond)
	for {
		err := operation()
		if err == nil {
			return nil
		}
		if code := codeOf(err); (code >= 40000 && code < 40800) || time.Now().After(endsAt) {
			return err
		}
		failed()
		time.Sleep(100 * time.Millisecond)
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// middle lets the test kill a leader before the program goes on.
func middle() {
	if !*halt {
		return
	}
	fmt.Println(`{"mark":"middle"}`)
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	must(err)
}

func config(namespace, group string) *rmq.Config {
	return &rmq.Config{Endpoint: *endpoints, NameSpace: namespace, ConsumerGroup: group,
		Credentials: &credentials.SessionCredentials{}}
}

func startProducer(checker *rmq.TransactionChecker) rmq.Producer {
	return startProducerIn("", checker, *topic)
}

func startProducerIn(namespace string, checker *rmq.TransactionChecker, topics ...string) rmq.Producer {
	var producer rmq.Producer
	must(persist(func() (err error) {
		settings := []rmq.ProducerOption{rmq.WithTopics(topics...)}
		if checker != nil {
			settings = append(settings, rmq.WithTransactionChecker(checker))
		}
		if producer, err = rmq.NewProducer(config(namespace, ""), settings...); err != nil {
			return err
		}
		return producer.Start()
	}, func() {}))
	return producer
}

func startSimple() rmq.SimpleConsumer {
	return startSimpleIn("", *group, subscriptions{*topic: rmq.SUB_ALL})
}

type subscriptions = map[string]*rmq.FilterExpression

func startSimpleIn(namespace, group string, filters subscriptions) rmq.SimpleConsumer {
	var consumer rmq.SimpleConsumer
	must(persist(func() (err error) {
		consumer, err = rmq.NewSimpleConsumer(config(namespace, group),
			rmq.WithSimpleAwaitDuration(time.Duration(*awaitMs)*time.Millisecond),
			rmq.WithSimpleSubscriptionExpressions(filters))
		if err != nil {
			return err
		}
		return consumer.Start()
	}, func() {}))
	return consumer
}

func message(n int, body string) *rmq.Message {
	made := &rmq.Message{Topic: *topic, Body: []byte(body)}
	made.AddProperty("n", strconv.Itoa(n))
	return made
}

func numberOf(view *rmq.MessageView) int {
	n, err := strconv.Atoi(view.GetProperties()["n"])
	must(err)
	return n
}

// send sends, and where the SDK gives up, sends again.
func send(producer rmq.Producer, make func() *rmq.Message) *rmq.SendReceipt {
	var receipts []*rmq.SendReceipt
	must(persist(func() (err error) {
		receipts, err = producer.Send(context.Background(), make())
		return err
	}, func() {
		lock.Lock()
		resent++
		lock.Unlock()
	}))
	return receipts[0]
}

// together does the action for each number, all at the same time.
func together(from, end int, action func(int)) *sync.WaitGroup {
	var all sync.WaitGroup
	for i := from; i < end; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			action(i)
		}()
	}
	return &all
}

func receive(consumer rmq.SimpleConsumer) []*rmq.MessageView {
	// No message is an error to this SDK.
	views, err := consumer.Receive(context.Background(), 32, 15*time.Second)
	if err != nil {
		time.Sleep(20 * time.Millisecond)
	}
	return views
}

// receiveUntil hands each message to take and acknowledges it, until done() holds.
func receiveUntil(consumer rmq.SimpleConsumer, done func() bool, take func(*rmq.MessageView), wait time.Duration) {
	receiveSome(consumer, done, func(view *rmq.MessageView) bool {
		take(view)
		return true
	}, wait)
}

// receiveSome hands each message to take and acknowledges it if that says so, until done() holds.
func receiveSome(consumer rmq.SimpleConsumer, done func() bool, take func(*rmq.MessageView) bool, wait time.Duration) {
	endsAt := time.Now().Add(wait)
	for !done() && time.Now().Before(endsAt) {
		for _, view := range receive(consumer) {
			if !take(view) {
				continue
			}
			err := persist(func() error { return consumer.Ack(context.Background(), view) }, func() {})
			if codeOf(err) != invalidReceiptHandle {
				must(err)
			}
		}
	}
}

func longest() time.Duration {
	return time.Duration(*patience) * time.Millisecond
}

func moreThanOnce(deliveries map[int]int) int {
	count := 0
	for _, times := range deliveries {
		if times > 1 {
			count++
		}
	}
	return count
}

func normal() facts {
	const count = 100
	const half = count / 2
	producer := startProducer(nil)
	ids := map[int][]string{}
	bodyOf := func(i int) string {
		return fmt.Sprintf("message %d: größer, 漢字, 🚀 %s", i, strings.Repeat("x", i))
	}
	sendOne := func(i int) {
		receipt := send(producer, func() *rmq.Message {
			made := message(i, bodyOf(i))
			made.SetTag("tag-a")
			made.SetKeys(fmt.Sprintf("key-%d", i), fmt.Sprintf("second-%d", i))
			made.AddProperty("größe", "élan 漢字 🚀")
			return made
		})
		lock.Lock()
		ids[i] = append(ids[i], receipt.MessageID)
		lock.Unlock()
	}
	together(0, half, sendOne).Wait()
	inFlight := together(half, half+10, sendOne)
	middle()
	inFlight.Wait()
	together(half+10, count, sendOne).Wait()

	deliveries := map[int]int{}
	offsets := map[string]int{}
	take := func(view *rmq.MessageView) {
		i := numberOf(view)
		deliveries[i]++
		offsets[fmt.Sprintf("%d@%d", i, view.GetOffset())]++
		if string(view.GetBody()) != bodyOf(i) {
			complain("body of %d", i)
		}
		if view.GetTag() == nil || *view.GetTag() != "tag-a" {
			complain("tag of %d", i)
		}
		if len(view.GetKeys()) != 2 {
			complain("keys of %d are %v", i, view.GetKeys())
		}
		if view.GetProperties()["größe"] != "élan 漢字 🚀" {
			complain("property of %d", i)
		}
		known := false
		for _, id := range ids[i] {
			known = known || id == view.GetMessageId()
		}
		if !known {
			complain("id of %d", i)
		}
	}
	receiveUntil(startSimple(), func() bool { return len(deliveries) == count }, take, longest())
	twice := 0
	for _, times := range offsets {
		if times > 1 {
			twice++
		}
	}
	return facts{"count": count, "sent": len(ids), "resent": resent, "storedTwice": moreThanOnce(deliveries) - twice,
		"simple": len(deliveries), "simpleTwice": twice}
}

func fifo() facts {
	const groups, count = 4, 20
	producer := startProducer(nil)
	together(0, groups, func(g int) {
		for i := 0; i < count; i++ {
			send(producer, func() *rmq.Message {
				made := message(i, fmt.Sprintf("%d/%d", g, i))
				made.SetMessageGroup(fmt.Sprintf("group-%d", g))
				return made
			})
		}
	}).Wait()
	seen := make([][]int, groups)
	different := map[string]bool{}
	take := func(view *rmq.MessageView) {
		g, err := strconv.Atoi(strings.TrimPrefix(*view.GetMessageGroup(), "group-"))
		must(err)
		seen[g] = append(seen[g], numberOf(view))
		different[string(view.GetBody())] = true
	}
	consumer := startSimple()
	receiveUntil(consumer, func() bool { return len(different) >= groups*count/2 }, take, longest())
	middle()
	receiveUntil(consumer, func() bool { return len(different) == groups*count }, take, longest())
	return facts{"groups": groups, "count": count, "failsOnce": -1, "poison": "", "seen": seen, "dead": []string{},
		"resent": resent}
}

func delay() facts {
	const count = 10
	producer := startProducer(nil)
	sendOne := func(i int) {
		send(producer, func() *rmq.Message {
			made := message(i, fmt.Sprintf("delayed %d", i))
			made.SetDelayTimestamp(time.Now().Add(time.Duration(3000+i*377%2000) * time.Millisecond))
			return made
		})
	}
	together(0, count/2, sendOne).Wait()
	consumer := startSimple()
	middle()
	together(count/2, count, sendOne).Wait()
	deliveries := map[int]int{}
	early := 0
	lateMs := int64(0)
	receiveUntil(consumer, func() bool { return len(deliveries) == count }, func(view *rmq.MessageView) {
		deliveries[numberOf(view)]++
		// Compared by the millisecond: that is what the server knows of it.
		late := time.Now().UnixMilli() - view.GetDeliveryTimestamp().UnixMilli()
		if late < 0 {
			early++
		}
		lateMs = max(lateMs, late)
	}, longest())
	return facts{"count": count, "resent": resent, "received": len(deliveries), "twice": moreThanOnce(deliveries),
		"early": early, "lateMsMax": lateMs}
}

func transaction() facts {
	const count = 8
	type half struct {
		begun rmq.Transaction
		id    string
	}
	decisions := sync.Map{}
	producer := startProducer(&rmq.TransactionChecker{Check: func(view *rmq.MessageView) rmq.TransactionResolution {
		if decision, ok := decisions.Load(view.GetMessageId()); ok {
			return decision.(rmq.TransactionResolution)
		}
		return rmq.UNKNOWN
	}})
	halves := make([]half, count)
	for i := range halves {
		begun := producer.BeginTransaction()
		receipts, err := producer.SendWithTransaction(context.Background(), message(i, fmt.Sprintf("half %d", i)), begun)
		must(err)
		halves[i] = half{begun, receipts[0].MessageID}
	}
	consumer := startSimple()
	tooEarly := len(receive(consumer))
	end := func(i int) {
		if i%2 == 0 {
			decisions.Store(halves[i].id, rmq.COMMIT)
			must(persist(halves[i].begun.Commit, func() {}))
		} else {
			decisions.Store(halves[i].id, rmq.ROLLBACK)
			must(persist(halves[i].begun.RollBack, func() {}))
		}
	}
	together(0, count/2, end).Wait()
	middle()
	together(count/2, count, end).Wait()
	received := []int{}
	different := map[int]bool{}
	take := func(view *rmq.MessageView) {
		received = append(received, numberOf(view))
		different[numberOf(view)] = true
		if view.GetMessageId() != halves[numberOf(view)].id {
			complain("id of %d", numberOf(view))
		}
	}
	receiveUntil(consumer, func() bool { return len(different) >= count/2 }, take, longest())
	receiveUntil(consumer, func() bool { return false }, take, 1500*time.Millisecond)
	return facts{"count": count, "tooEarly": tooEarly, "received": received}
}

func main() {
	must(options.Parse(os.Args[2:]))
	programs := map[string]func() facts{"normal": normal, "fifo": fifo, "delay": delay, "transaction": transaction,
		"push": push, "tags": tags, "sql": sql, "topics": topics, "namespaces": namespaces, "refusals": refusals}
	result := programs[os.Args[1]]()
	result["wrong"] = wrong
	line, err := json.Marshal(result)
	must(err)
	fmt.Println(string(line))
	os.Exit(0)
}
