"""The classroom: assignments in individual versions, graded in a sandbox, recorded by nbgrader. For lecturers; `kdlib` stays what a notebook imports."""
