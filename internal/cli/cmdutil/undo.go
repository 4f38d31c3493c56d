package cmdutil

import (
	"slices"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// FindUndoable returns the resource that audit rows call by the name.
func FindUndoable(list []audit.Resource, name string) (audit.Resource, error) {
	i := slices.IndexFunc(list, func(r audit.Resource) bool { return r.Name == name })
	if i < 0 {
		return audit.Resource{}, fault.New(fault.Validation, "a change of a %s cannot be undone", name).With("resource", name)
	}
	return list[i], nil
}

// NoteUnsealedUndo warns that an undo relies on an audit log without seals.
func NoteUnsealedUndo(env *Env, log *audit.Log) {
	if !log.Sealed() {
		env.Note("the database has no seals, so the undo trusts the audit log as it is; cxgctl migrate up adds them")
	}
}

// MayReverse returns a function that requires the permissions for undoing a change of one of the resources by hand.
func (w *Writer) MayReverse(list ...audit.Resource) func(noun string, a audit.Action) error {
	return func(noun string, a audit.Action) error {
		r, err := FindUndoable(list, noun)
		if err != nil {
			return err
		}
		return w.Require(r.Permissions(a)...)
	}
}
