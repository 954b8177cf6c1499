// Command checker reads a history of register operations and searches for an order that explains
// every answer, with porcupine. It ends with 0 where there is one, with 1 where there is none or the
// search takes too long, and with 2 where the history makes no sense.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// How long the search may take for one group of registers.
const patience = 60 * time.Second

// nodes is how many registers a group has.
const nodes = 2

// Error codes of ZooKeeper's, KeeperException.java Code.
const (
	noNode     = -101
	badVersion = -103
	nodeExists = -110
)

// step is a part of an operation; the parts happen at once, or none of them.
type step struct {
	Kind    string `json:"kind"`
	Node    int    `json:"node"`
	Value   uint64 `json:"value"`
	Version int32  `json:"version"`
}

type result struct {
	Kind    string `json:"kind"`
	Value   uint64 `json:"value"`
	Version int32  `json:"version"`
}

type outcome struct {
	Kind    string   `json:"kind"`
	Results []result `json:"results"`
	At      int      `json:"at"`
	Error   int      `json:"error"`
}

type operation struct {
	Client  int     `json:"client"`
	Group   uint64  `json:"group"`
	Call    int64   `json:"call"`
	Return  *int64  `json:"return"`
	Steps   []step  `json:"steps"`
	Outcome outcome `json:"outcome"`
}

type register struct {
	exists  bool
	value   uint64
	version int32
}

// state is what a group's registers hold.
type state [nodes]register

// apply does the steps in turn. Where one can't be done nothing has changed, and its place and error
// are given.
func apply(before state, steps []step) (after state, results []result, at, refusal int) {
	after = before
	for i, s := range steps {
		r := &after[s.Node]
		if s.Kind == "get" {
			if r.exists {
				results = append(results, result{"value", r.value, r.version})
			} else {
				results = append(results, result{Kind: "missing"})
			}
			continue
		}
		if s.Kind == "create" {
			if r.exists {
				return before, nil, i, nodeExists
			}
			*r = register{exists: true, value: s.Value}
			results = append(results, result{Kind: "done"})
			continue
		}
		if !r.exists {
			return before, nil, i, noNode
		}
		if s.Version != -1 && s.Version != r.version {
			return before, nil, i, badVersion
		}
		switch s.Kind {
		case "set":
			r.value, r.version = s.Value, r.version+1
			results = append(results, result{Kind: "set", Version: r.version})
		case "delete":
			*r = register{}
			results = append(results, result{Kind: "done"})
		case "check":
			results = append(results, result{Kind: "done"})
		}
	}
	return after, results, 0, 0
}

// explains tells whether an operation could come to what it came to in this state.
func explains(before state, op operation) (bool, state) {
	after, results, at, refusal := apply(before, op.Steps)
	switch op.Outcome.Kind {
	case "unknown":
		return true, after
	case "refused":
		return refusal == op.Outcome.Error && at == op.Outcome.At, before
	default:
		if refusal != 0 || len(results) != len(op.Outcome.Results) {
			return false, before
		}
		for i := range results {
			if results[i] != op.Outcome.Results[i] {
				return false, before
			}
		}
		return true, after
	}
}

var model = porcupine.Model{
	Init: func() interface{} { return state{} },
	Step: func(before, input, _ interface{}) (bool, interface{}) {
		return explains(before.(state), input.(operation))
	},
}

// valid refuses what the model has no words for.
func valid(op operation) error {
	for _, s := range op.Steps {
		switch s.Kind {
		case "create", "set", "delete", "check", "get":
		default:
			return fmt.Errorf("a step of kind %q", s.Kind)
		}
		if s.Node < 0 || s.Node >= nodes {
			return fmt.Errorf("a step at node %d", s.Node)
		}
	}
	switch op.Outcome.Kind {
	case "unknown", "refused", "done":
	default:
		return fmt.Errorf("an outcome of kind %q", op.Outcome.Kind)
	}
	if (op.Return == nil) != (op.Outcome.Kind == "unknown") {
		return errors.New("an outcome without a time, or a time without an outcome")
	}
	return nil
}

func read(input io.Reader) (map[uint64][]operation, int, error) {
	groups := map[uint64][]operation{}
	count := 0
	lines := json.NewDecoder(bufio.NewReader(input))
	lines.DisallowUnknownFields()
	for {
		var op operation
		err := lines.Decode(&op)
		if errors.Is(err, io.EOF) {
			return groups, count, nil
		}
		if err == nil {
			err = valid(op)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("operation %d: %w", count+1, err)
		}
		count++
		groups[op.Group] = append(groups[op.Group], op)
	}
}

func check(ops []operation) porcupine.CheckResult {
	history := make([]porcupine.Operation, 0, len(ops))
	for _, op := range ops {
		// An operation of which nobody knows may happen as late as ever.
		until := int64(math.MaxInt64)
		if op.Return != nil {
			until = *op.Return
		}
		history = append(history, porcupine.Operation{
			ClientId: op.Client, Input: op, Call: op.Call, Return: until,
		})
	}
	return porcupine.CheckOperationsTimeout(model, history, patience)
}

func run(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	groups, count, err := read(file)
	if err != nil {
		return false, err
	}
	numbers := make([]uint64, 0, len(groups))
	for number := range groups {
		numbers = append(numbers, number)
	}
	sort.Slice(numbers, func(i, j int) bool { return numbers[i] < numbers[j] })
	unknown := 0
	for _, number := range numbers {
		for _, op := range groups[number] {
			if op.Return == nil {
				unknown++
			}
		}
		switch check(groups[number]) {
		case porcupine.Ok:
		case porcupine.Illegal:
			fmt.Printf("group %d: no order explains its %d operations\n", number, len(groups[number]))
			return false, nil
		default:
			fmt.Printf("group %d: not decided within %s\n", number, patience)
			return false, nil
		}
	}
	fmt.Printf("%d operations on %d groups, %d of unknown outcome\n", count, len(groups), unknown)
	return true, nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: checker HISTORY")
		os.Exit(2)
	}
	linearizable, err := run(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if !linearizable {
		os.Exit(1)
	}
}
