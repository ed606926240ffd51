"""Reports how a run ended: the tasks become a DAG of their own, and a last task runs whatever became of it.

This is the form the KFP SDK gives to `dsl.ExitHandler`, and the only one that open-source Kubeflow implements: a task
with the trigger policy ALL_UPSTREAM_TASKS_COMPLETED becomes the exit hook of the one task it depends on.
"""

from kfp.pipeline_spec import pipeline_spec_pb2 as spec

BODY = "Steps"
"""The DAG with the pipeline's tasks."""
TASK = "Notify"
COMMAND = ["python", "-m", "pipeline.kubeflow.notify"]


def add_exit_handler(
    pipeline: spec.PipelineSpec, deployment: spec.PipelineDeploymentConfig, image: str, webhook: str
) -> tuple[spec.PipelineTaskSpec, spec.PipelineDeploymentConfig.PipelineContainerSpec]:
    """Wraps the tasks of a pipeline and adds the one that reports, in place.

    Args:
      pipeline: the pipeline, with its run parameters.
      deployment: its executors.
      image: image of the new task.
      webhook: the address that is told, or $NAME for that of an environment variable.

    Returns:
      The task that reports, and its container.
    """
    body = pipeline.components[BODY]
    body.dag.CopyFrom(pipeline.root.dag)
    pipeline.root.dag.Clear()
    steps = pipeline.root.dag.tasks[BODY]
    steps.task_info.name, steps.component_ref.name = BODY, BODY
    for name, parameter in pipeline.root.input_definitions.parameters.items():
        body.input_definitions.parameters[name].parameter_type = parameter.parameter_type
        steps.inputs.parameters[name].component_input_parameter = name

    notify = pipeline.root.dag.tasks[TASK]
    notify.task_info.name, notify.component_ref.name = TASK, TASK
    notify.dependent_tasks.append(BODY)
    notify.trigger_policy.strategy = spec.PipelineTaskSpec.TriggerPolicy.ALL_UPSTREAM_TASKS_COMPLETED
    notify.inputs.parameters["status"].task_final_status.producer_task = BODY
    component = pipeline.components[TASK]
    component.executor_label = f"{TASK}_executor"
    component.input_definitions.parameters["status"].parameter_type = spec.ParameterType.TASK_FINAL_STATUS
    component.input_definitions.parameters["status"].is_optional = True
    container = deployment.executors[component.executor_label].container
    container.image = image
    container.command.extend(COMMAND)
    container.args.extend(["--webhook", webhook, "--pipeline", pipeline.pipeline_info.name])
    container.args.extend(["--status", "{{$.inputs.parameters['status']}}"])
    return notify, container
