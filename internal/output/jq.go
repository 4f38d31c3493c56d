package output

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/itchyny/gojq"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// compileJQ compiles an expression without access to the environment, to other input or to modules.
func compileJQ(expr string) (*gojq.Code, error) {
	query, err := gojq.Parse(expr)
	if err != nil {
		return nil, fault.New(fault.Validation, "--jq is not a valid jq expression: %s", err).Because(err)
	}
	code, err := gojq.Compile(query)
	if err != nil {
		return nil, fault.New(fault.Validation, "--jq cannot be compiled: %s", err).Because(err)
	}
	return code, nil
}

// PrintsField reports whether the expression prints a field of its input, a record or an envelope with a record.
func PrintsField(expr, field string) (bool, error) {
	code, err := compileJQ(expr)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	const sample = "a value that no expression makes"
	record := map[string]any{field: sample}
	for _, doc := range []map[string]any{{"success": true, "data": record, "error": nil}, record} {
		results := code.RunWithContext(ctx, doc)
		for result, more := results.Next(); more; result, more = results.Next() {
			if _, failed := result.(error); failed {
				break
			}
			if text, err := gojq.Marshal(result); err == nil && bytes.Contains(text, []byte(sample)) {
				return true, nil
			}
		}
	}
	return false, nil
}

// Causes for stopping an expression.
var (
	errJQTimeout = errors.New("time-out of --jq")
	errJQMemory  = errors.New("--jq needs too much memory")
)

// An expression may use jqMemory bytes, plus jqPerByte for each byte of its document.
const (
	jqMemory  = 256 << 20
	jqPerByte = 16
)

// limitMemory returns a context that is canceled when the heap has grown by more than size since the call, garbage not
// counted. The returned function ends the check.
func limitMemory(ctx context.Context, size uint64) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(heap)
	size += heap[1].Value.Uint64() // of the last collection
	used := func() uint64 {
		metrics.Read(heap[:1])
		return heap[0].Value.Uint64()
	}
	go func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if used() > size {
				runtime.GC() // the collector may not run before the heap is several times as large
				if used() > size {
					cancel(errJQMemory)
				}
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// runJQ writes the results of the expression for a JSON document, one per line: strings raw, the rest as
// compact JSON with exact numbers.
func (p *Printer) runJQ(w io.Writer, doc []byte) error {
	var in any
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	if err := dec.Decode(&in); err != nil {
		return fault.New(fault.Internal, "cannot read back the document for --jq: %s", err).Because(err)
	}
	ctx := cmp.Or(p.Context, context.Background())
	if p.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, p.Timeout, errJQTimeout)
		defer cancel()
	}
	ctx, done := limitMemory(ctx, jqMemory+jqPerByte*uint64(len(doc)))
	defer done()
	results := p.jq.RunWithContext(ctx, in)
	for {
		result, more := results.Next()
		if !more {
			return nil
		}
		var line []byte
		switch v := result.(type) {
		case error:
			if cause := context.Cause(ctx); errors.Is(cause, errJQTimeout) {
				return fault.New(fault.Validation, "--jq did not end within %s", p.Timeout).
					WithHint("check the expression for a loop, or raise --timeout").Because(errJQTimeout)
			} else if errors.Is(cause, errJQMemory) {
				return fault.New(fault.Validation, "--jq needs more memory than an expression may use").
					WithHint("check the expression for a loop, or pipe -o json into jq").Because(errJQMemory)
			} else if cause != nil {
				return cause // a signal
			}
			if _, halted := errors.AsType[*gojq.HaltError](v); halted {
				return fault.New(fault.Validation, "--jq failed: halt cannot be used here")
			}
			return fault.New(fault.Validation, "--jq failed: %s", v).Because(v)
		case string:
			if p.Terminal.IsTTY {
				v = sanitize(v, "\n\t") // @tsv and the like produce them
			}
			line = append(line, v...)
		default:
			text, err := gojq.Marshal(v)
			if err != nil {
				return fault.New(fault.Internal, "cannot print the result of --jq: %s", err).Because(err)
			}
			line = appendJSONEscaped(line, text)
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
}

// jqDocument runs the expression on the whole document, and writes the results to w.
type jqDocument struct {
	jsonDocument
	printer *Printer
	w       io.Writer
	doc     []byte
}

func (d *jqDocument) begin(b []byte) ([]byte, error) {
	var err error
	d.doc, err = d.jsonDocument.begin(nil)
	return b, err
}

func (d *jqDocument) row(b []byte, r *printedRow) (_ []byte, err error) {
	d.doc, err = d.jsonDocument.row(d.doc, r)
	return b, err
}

func (d *jqDocument) end(b []byte, e envelope) (_ []byte, err error) {
	if d.doc, err = d.jsonDocument.end(d.doc, e); err != nil {
		return b, err
	}
	return b, d.printer.runJQ(d.w, d.doc)
}

// jqLines runs the expression on each record.
type jqLines struct {
	jsonLines
	printer *Printer
	w       io.Writer
	doc     []byte
}

func (l *jqLines) row(b []byte, r *printedRow) ([]byte, error) {
	l.doc = l.append(l.doc[:0], r)
	return b, l.printer.runJQ(l.w, l.doc)
}
