//go:build race

package active_test

// inGoHeap shows the race detector what the heads of the tests hold.
const inGoHeap = true
