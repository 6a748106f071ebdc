-- The roles of the parts, in the bundled PostgreSQL of compose.yaml; run once, when its volume is new.
CREATE ROLE jobproc_api LOGIN PASSWORD 'jobproc';
CREATE ROLE jobproc_worker LOGIN PASSWORD 'jobproc';
CREATE ROLE jobproc_controller LOGIN PASSWORD 'jobproc';
CREATE ROLE jobproc_metrics LOGIN PASSWORD 'jobproc';
