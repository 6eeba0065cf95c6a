# A failing case for every rule of the module; tests/terraform/test_rules.py holds the two against each other.

mock_provider "aws" {
  mock_data "aws_service" {
    defaults = { region = "eu-central-1" }
  }
}

variables {
  name = "llm"
}

run "a_name_with_a_space" {
  command = plan

  variables {
    name = "my models"
  }

  expect_failures = [var.name]
}

run "no_environment_at_all" {
  command = plan

  variables {
    inference = { chat = { function_name = "chat", concurrency = 0 } }
  }

  expect_failures = [var.inference]
}

run "a_function_in_place_of_a_state_machine" {
  command = plan

  variables {
    batches = { nightly = {
      state_machine_arn = "arn:aws:lambda:eu-central-1:123456789012:function:batches-worker"
      worker            = { function_name = "batches-worker" }
    } }
  }

  expect_failures = [var.batches]
}

run "an_alarm_that_always_rings" {
  command = plan

  variables {
    thresholds = { throttles = 0 }
  }

  expect_failures = [var.thresholds]
}

run "an_alarm_that_never_rings" {
  command = plan

  variables {
    thresholds = { error_percent = 500 }
  }

  expect_failures = [var.thresholds]
}

run "an_action_that_is_a_name" {
  command = plan

  variables {
    alarm_actions = ["on-call"]
  }

  expect_failures = [var.alarm_actions]
}

run "an_action_for_the_end_that_is_a_name" {
  command = plan

  variables {
    ok_actions = ["on-call"]
  }

  expect_failures = [var.ok_actions]
}

run "no_alarm_of_what_has_none" {
  command = plan

  variables {
    no_alarms = ["latency"]
  }

  expect_failures = [var.no_alarms]
}
