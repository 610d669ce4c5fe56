package series

import (
	"fmt"
	"runtime/debug"
)

// Guard calls f and turns a panic into an error with its stack. It is for goroutines of a call: their panic would end the
// process, where that of the caller's own ends a request.
func Guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return f()
}
