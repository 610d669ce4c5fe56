//go:build race

package badger_test

// inGoHeap shows the race detector what the stores of the tests hold.
const inGoHeap = true
