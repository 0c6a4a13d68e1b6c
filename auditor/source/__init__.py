"""The source witness: what the code can do, by data flow from validation tokens to updates and to scores."""
