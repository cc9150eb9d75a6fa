// What every program shares: its log, and how it is begun. Nothing but runtime is imported, so little has to be compiled.
package main

import "runtime"

var (
	log     []byte
	events  int
	budget  int
	nothing func(int) any
	zero    int
)

const mostEvents, mostCalls = 200, 8

// text is a value as the log shows it.
func text(value any) string {
	switch value := value.(type) {
	case nil:
		return "nil"
	case int:
		if value < 0 {
			return "-" + text(-value)
		}
		if value > 9 {
			return text(value/10) + text(value%10)
		}
		return string(rune('0' + value))
	case *runtime.PanicNilError:
		return "panic with nil"
	case error:
		switch value.Error() {
		case "runtime error: integer divide by zero":
			return "division by zero"
		case "runtime error: invalid memory address or nil pointer dereference":
			return "call of nil"
		}
		return value.Error()
	}
	return "?"
}

func event(number int, values ...any) {
	events++
	if events > mostEvents {
		return
	}
	line := text(number) + ":"
	for _, value := range values {
		line += " " + text(value)
	}
	log = append(log, line+"\n"...)
}

// results makes of a call's results one argument.
func results(values ...any) []any { return values }

// spend says whether the program may make one more of the calls that might never end.
func spend() bool {
	budget--
	return budget >= 0
}

// run writes a program's log. The goroutine is its own, for Goexit to end.
func run(name string, begin func()) {
	log, events, budget = nil, 0, mostCalls
	ended, done := "exit\n", make(chan bool)
	go func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				ended = "panic: " + text(r) + "\n"
			}
		}()
		begin()
		ended = "return\n"
	}()
	<-done
	print("program " + name + "\n" + string(log) + ended)
}
